"""Points of the contract about evaluation: an image has its logits, however it is asked.

A run asks as `predict` does: a class list is prepared once and many batches follow, then the next
list. Whatever a method could count or add up on the way (calls, images, averages of them) shows as
logits that hang on what came before, or as something that has changed in it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from promptbench.contract.bench import Bench
from promptbench.contract.traces import difference, traces
from promptbench.contract.verdicts import TOLERANCE, close, require
from promptbench.core.method import ClassSet, Method
from promptbench.isolation.entering import enter, learnables
from promptbench.models.deltas import Deltas
from promptbench.models.edits import Alike, Edit, Edits
from promptbench.support.prose import counted
from promptbench.support.seeding import seeded

_MOVED = 0.1  # how far parameters are moved, more than what one step does to most
_ROUNDS = 3  # the first may fill what is remembered; those after it must change nothing


def logits_do_not_depend_on_the_stream_of_images(bench: Bench) -> str:
    """An image has the same logits in any order, in batches of any size, after any others."""
    images, strange = bench.images, bench.world.others * 3 + 1
    draw = random.Random(bench.world.seed)
    first = torch.cat(bench.stream(bench.scored, [images]))
    found = ""
    for _ in range(2):
        order = draw.sample(range(len(images)), len(images))
        cuts = sorted(draw.sample(range(1, len(images)), 2))
        batches = torch.tensor_split(images[order], cuts)
        ahead = list(strange.split(draw.randint(2, 4)))
        answers = torch.cat(bench.stream(bench.scored, [*ahead, *batches])[len(ahead) :])
        found = close(answers, first[order], "logits after other images, in another order")
    return found


def logits_do_not_depend_on_what_was_asked_before(bench: Bench) -> str:
    """The same question has the same answer after other questions, and after training."""
    asked = [bench.train, bench.scored, bench.scored, bench.train, bench.train]
    fresh = bench.logits(bench.scored, method=bench.another(seed=0))
    first = {classes: bench.logits(classes) for classes in dict.fromkeys(asked)}
    close(first[bench.scored], fresh, "the second class list against a new method's first")
    found = ""
    for number, classes in enumerate([*asked, *asked], start=len(first) + 1):
        bench.terms()
        found = close(
            bench.logits(classes), first[classes], f"the same question as number {number}"
        )
    bench.step()
    first = {classes: bench.logits(classes) for classes in dict.fromkeys(asked)}
    for number, classes in enumerate(reversed(asked), start=len(first) + 1):
        close(bench.logits(classes), first[classes], f"after training, as number {number}")
    return found


def evaluation_leaves_no_trace(bench: Bench) -> str:
    """Evaluation changes nothing in the method: no tensor, no attribute, nothing it prepared."""
    method = bench.method
    enter(method.eval)
    lists = list(dict.fromkeys([bench.train, bench.scored]))
    with torch.no_grad():
        prepared = [enter(method.prepare, classes) for classes in lists]
        seen = []
        for _ in range(_ROUNDS):
            _ask(method, lists, prepared, [bench.images, bench.world.others])
            seen.append(traces(method, prepared))
    for before, after in pairwise(seen):
        change = difference(before, after)
        require(
            change is None,
            f"{change}, although it was asked nothing new: what a method remembers in evaluation "
            "could tell it where it is",
        )
    return f"{len(seen[-1])} things compared"


def _ask(
    method: Method, lists: Sequence[ClassSet], prepared: Sequence[object], batches: Sequence[Tensor]
) -> None:
    for classes, ready in zip(lists, prepared, strict=True):
        enter(method.prepare, classes)
        for images in batches:
            enter(method.logits, images, ready)


def edits_leave_texts_alike_where_they_say_so(bench: Bench) -> str:
    """Behind an edit of texts that is marked `edits.Alike`, all still begin with the same tokens.

    It is looked at wherever the method edits texts, with classes that have only SOT in common, too,
    and with all parameters moved: what is learned for each class may begin as the same for all.
    """
    method, seen = bench.trained(), list[int]()
    with seeded(bench.world.seed, "alike"), torch.no_grad():
        for _, parameter in learnables(method):
            parameter.add_(_MOVED * torch.randn_like(parameter))
    only_names = replace(bench.scored, template="{}.")
    with bench.towers.text.observed(partial(_looked_at, seen)):
        enter(method.train)
        bench.terms(method)
        for classes in (bench.train, bench.scored, only_names):
            bench.logits(classes, method=method)
    if not seen:
        return "it marks none"
    return f"{counted(len(seen), 'edit')}, behind which up to {max(seen)} tokens are the same"


def _looked_at(seen: list[int], edits: Edits, deltas: Deltas) -> Edits:
    """The edits, of which those that are marked are compared with what they say."""

    def behind(edit: Edit, block: int, sequences: Tensor) -> Tensor:
        changed = edit(sequences)
        inserted = changed.shape[1] - sequences.shape[1]
        before, after = _common(sequences.detach()), _common(changed.detach())
        more = f" (the {inserted} that it inserts among them)" if inserted else ""
        require(
            after >= before + inserted,
            f"the edit of texts at block {block} is marked `edits.Alike`, but texts that begin "
            f"with {counted(before, 'token')} in common before it begin with {after} behind it, "
            f"not with {before + inserted}{more}: leave out the mark, or give all classes the "
            "same tokens",
        )
        seen.append(after)
        return changed

    return {
        block: partial(behind, edit, block) if isinstance(edit, Alike) else edit
        for block, edit in edits.items()
    }


def _common(sequences: Tensor) -> int:
    """How many tokens all sequences [n, length, width] begin with, but for rounding."""
    apart = (sequences - sequences[:1]).abs().amax(dim=(0, 2))
    same = apart <= TOLERANCE * sequences.abs().max()
    return len(same) if same.all() else int(same.int().argmin())


def what_it_returns_is_plain(bench: Bench) -> str:
    """Logits, loss terms and parameters are torch's own tensors, logits in floating point."""
    logits, terms = bench.logits(bench.scored), bench.terms()
    for name, found in [("logits", logits), *((f"loss term {n!r}", t) for n, t in terms.items())]:
        kind = f"{type(found).__module__}.{type(found).__qualname__}"
        require(type(found) is Tensor, f"{name}: {kind}, not a plain tensor (torch.Tensor)")
        require(found.is_floating_point(), f"{name}: {found.dtype}, not floating point")
    return f"{logits.dtype}".removeprefix("torch.")
