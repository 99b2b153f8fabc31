"""The points of the contract, each a check of a bench.

A check returns what it measured or raises `Broken` with what broke and the number. They know
nothing of any particular method.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from promptbench.contract.bench import HALF, Bench
from promptbench.contract.verdicts import TOLERANCE, close, require
from promptbench.core.method import ClassSet, Surgeon
from promptbench.core.traits import has_decoupled_inference, sees_images
from promptbench.isolation.entering import enter, learnables, state_of
from promptbench.models.towers.fingerprint import difference, fingerprint
from promptbench.running.lab.calling import evaluating, learning, losses_of
from promptbench.running.training.gradients import backward
from promptbench.support.prose import counted

_SCALE = 1024.0  # of losses, as float16 has them
_STEPS = 2  # before each of which a method is stored and read again


def losses_are_finite(bench: Bench) -> str:
    """Every loss term is a finite scalar."""
    terms = bench.terms()
    for name, term in terms.items():
        require(term.dim() == 0, f"loss term {name!r} has shape {tuple(term.shape)}, no scalar")
        require(math.isfinite(term.item()), f"loss term {name!r} is {term.item()}")
    return ", ".join(f"{name} {term.item():.3g}" for name, term in terms.items())


def gradients_reach_all_learnables_and_nothing_else(bench: Bench) -> str:
    """Each learnable, float32, gets a gradient; no tower weight does."""
    learned = dict(learnables(bench.method))
    reached = {name for method in bench.stages() for name in bench.gradients(method)}
    stages = " in any of its stages" if type(bench.method).stages > 1 else ""
    for name, parameter in learned.items():
        require(name in reached, f"{name} gets no gradient{stages}")
        require(parameter.dtype == torch.float32, f"{name} is {parameter.dtype}, not float32")
    require(
        bool(learned) or not sees_images(type(bench.method)),
        "it is shown the training images, but has no parameter that it could learn",
    )
    touched = [n for n, p in bench.towers.model.named_parameters() if p.grad is not None]
    require(not touched, f"tower weights get gradients: {touched[:3]}")
    numbers = sum(p.numel() for p in learned.values())
    return (
        f"{numbers:,} learnable number{'s' * (numbers != 1)} in {counted(len(learned), 'tensor')}"
    )


def gradients_that_it_makes_know_no_scale(bench: Bench) -> str:
    """A gradient that it makes itself is one of its parameters, the same at any scale of losses."""
    if not isinstance(bench.method, Surgeon):
        return "none: its steps go down the gradient of the total loss"
    gaps = []
    for method in bench.stages():
        before = {name: value.clone() for name, value in state_of(method).items()}
        plain = bench.gradients(method)
        scaler = torch.amp.GradScaler("cpu", init_scale=_SCALE)
        scaled = bench.gradients(method, scaler)
        require(plain.keys() == scaled.keys(), "it reaches other parameters at another scale")
        for name, gradient in plain.items():
            require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")
            gap = float((scaled[name] / _SCALE - gradient).abs().max())
            gaps.append(gap / max(float(gradient.abs().max()), 1e-12))
            require(gaps[-1] <= TOLERANCE, f"the gradient of {name} hangs on the scale of losses")
        changed = [n for n, value in state_of(method).items() if not torch.equal(value, before[n])]
        require(not changed, f"it changes {changed[:1]} where it is asked for a gradient")
    return f"relative difference {max(gaps):.1e} at a scale of {_SCALE:g}"


def towers_stay_as_they_are(bench: Bench) -> str:
    """Nothing that the method does changes the towers: not its start, a step, or its evaluation."""
    bench.step()
    bench.logits(bench.scored)
    change = difference(bench.untouched, fingerprint(bench.towers))
    require(change is None, f"the towers are shared and frozen, but {change}")
    return f"{len(bench.untouched.numbers)} tower tensors compared"


def logits_have_the_shape_of_the_class_list(bench: Bench) -> str:
    """A class list gives logits [batch, its length], also one that was not trained on."""
    shape = tuple(bench.logits(bench.scored).shape)
    wanted = (len(bench.images), len(bench.scored))
    require(shape == wanted, f"logits of shape {shape}, not {wanted}")
    seen = "" if _is_open(bench) else " (trained classes only, as the method says)"
    return f"{shape}{seen}"


def logits_do_not_depend_on_the_other_samples(bench: Bench) -> str:
    """A sample alone has the logits it has in a batch."""
    batch = bench.logits(bench.scored)
    alone = torch.cat([bench.logits(bench.scored, image[None]) for image in bench.images])
    return close(alone, batch, "logits of single images against the batch's")


def logits_follow_the_order_of_the_classes(bench: Bench) -> str:
    """Permuting the class list permutes the logits and nothing more."""
    names = bench.scored.names
    order = [*range(1, len(names), 2), *range(0, len(names), 2)]
    permuted = bench.scored.at(order)
    return close(bench.logits(permuted), bench.logits(bench.scored)[:, order], "permuted classes")


def logits_of_a_class_do_not_depend_on_the_other_classes(bench: Bench) -> str:
    """A class has one logit, whatever else is on the list: its own classes, others, or both.

    A method that recognises the list it was trained on, and treats it in another way, shows here.
    """
    train = bench.train
    parts = (train, bench.world.other) if _is_open(bench) else (train,)
    names, texts = (
        tuple(each for part in parts for each in getattr(part, which))
        for which in ("names", "texts")
    )
    every = bench.logits(replace(train, names=names, texts=texts))
    own = bench.logits(train)
    found = close(every[:, : len(train)], own, "classes among others against the training list")
    first = bench.logits(train.at([0, 1]))
    close(own[:, :2], first, "classes among others against a list of two")
    return found


def class_texts_are_used_where_it_says_so(bench: Bench) -> str:
    """A method that says that it uses class texts has other logits with others, and uses them all,
    or learns from them: with others it has another loss.

    One that does not say so is given none: rows are marked by what a method says. What weighs the
    texts may begin at zero, so that the method has learned for a step.
    """
    if not bench.scored.texts:
        return "it says that it uses none, and is given none"
    method = bench.trained()
    first = bench.logits(bench.scored, method=method)
    moved = _gap(bench.logits(_retold(bench.scored, 1), method=method), first)
    if moved > TOLERANCE:
        return f"other texts: relative difference {moved:.1e}"
    loss = bench.total().detach()
    moved = _gap(bench.told(_retold(bench.train)).total().detach(), loss)
    require(
        moved > TOLERANCE,
        "other class texts give the same logits and the same loss; a method that uses none says "
        "class_texts = False",
    )
    return f"other texts in training: relative difference {moved:.1e} of the loss"


def _retold(classes: ClassSet, count: int | None = None) -> ClassSet:
    """The classes with other sentences, the first `count` of each or all."""
    others = (
        tuple(f"{text}, but blue" for text in texts[:count]) + texts[len(texts[:count]) :]
        for texts in classes.texts
    )
    return replace(classes, texts=tuple(others))


def rules_by_class_name_are_marked(bench: Bench) -> str:
    """Names that were trained on are treated as all others are, or the method is "selective".

    The same parameters in a method that was built for other names, and other texts where it uses
    class texts, give the same logits.
    """
    cls = type(bench.method)
    if cls.paradigm == "selective" or not cls.open_vocabulary:
        return "selective" if cls.open_vocabulary else "trained classes only, as the method says"
    train = bench.train
    strangers = ClassSet(
        tuple(f"unknown {name}" for name in train.names),
        train.template,
        tuple(tuple(f"unknown: {text}" for text in texts) for texts in train.texts),
    )
    bench.step()
    other = bench.fresh(seed=0, classes=strangers)
    enter(other.load_state_dict, state_of(bench.method), strict=True)
    gaps = [
        _gap(bench.logits(classes, method=other), bench.logits(classes))
        for classes in (train, bench.world.other)
    ]
    require(
        gaps[0] <= TOLERANCE or gaps[1] > TOLERANCE,
        f"names that were trained on have logits of their own (relative difference {gaps[0]:.1e}, "
        f'other names {gaps[1]:.1e}); a rule by class name is legal: paradigm = "selective"',
    )
    return f"relative difference {gaps[0]:.1e}"


def _gap(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def state_is_its_own_and_round_trips(bench: Bench) -> str:
    """state_dict holds no tower weight and survives safetensors, after steps as at the start.

    A training that was interrupted goes on from it: what a method keeps of its steps elsewhere (an
    average of gradients, a batch) is lost then.
    """
    from safetensors.torch import load, save

    state = state_of(bench.method)
    towers = {id(p) for p in bench.towers.model.parameters()}
    owned = [n for n, p in learnables(bench.method) if id(p) in towers]
    require(not owned, f"the method owns tower weights: {owned[:3]}")
    if not state:
        return "nothing to save"
    for number, method in enumerate(bench.stages(), 1):
        where = f" in stage {number}" if type(method).stages > 1 else ""
        for steps in range(_STEPS):
            other = bench.fresh(seed=1)  # what it was shown, its stage and steps is there, or lost
            kept = {name: value.contiguous() for name, value in state_of(method).items()}
            data = save(kept)
            enter(other.load_state_dict, load(data), strict=True)
            after = f"{where} after a step" if steps else where
            gap = float((bench.total(other) - bench.total(method)).detach().abs())
            require(gap == 0, f"a reloaded method has another loss{after} (difference {gap:.1e})")
            ours, theirs = bench.gradients(method), bench.gradients(other)
            require(
                ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours),
                f"a reloaded method has another gradient{after}: keep what steps leave behind in "
                "buffers",
            )
            bench.step(method)
    return f"{len(data) / 1024:.0f} KiB"


def same_seed_gives_the_same_method(bench: Bench) -> str:
    """Two methods of one seed, built and solved, agree bit for bit: parameters, loss, logits.

    What torch, numpy and Python's random draw is seeded. A generator of the method's own that is
    not, or one that goes on from method to method, shows here.
    """
    first, second = (bench.another(seed=5) for _ in range(2))
    for (name, ours), theirs in zip(
        state_of(first).items(), state_of(second).values(), strict=True
    ):
        require(
            torch.equal(ours, theirs),
            f"{name} differs between two methods of one seed: draw from torch, numpy.random or "
            "random, or seed the generator of your own from one of them",
        )
    totals = [float(bench.total(method).detach()) for method in (first, second)]
    require(totals[0] == totals[1], f"losses {totals[0]} and {totals[1]} from one seed")
    ours, theirs = (bench.logits(bench.train, method=method) for method in (first, second))
    close(ours, theirs, "logits of two methods of one seed")
    return f"loss {totals[0]:.6g} twice"


def scores_are_float32_whatever_the_precision(bench: Bench) -> str:
    """At bfloat16 a method is built, learns, and still gives float32 logits.

    Logits of 16 to 32 have steps of 0.125 in bfloat16, so that classes tie.
    """
    method: Any = bench.at_half_precision()
    world = bench.world
    images = world.viewed(type(method).views)
    terms, total = enter(learning, HALF, losses_of, method, world.train, images, world.labels)
    require(math.isfinite(total.item()), f"the loss is {total.item()} at bfloat16: {terms}")
    if total.requires_grad:
        backward(method, terms, total, HALF.scaler())
    enter(method.eval)
    rules: dict[str, Callable[..., Tensor]] = {"logits": method.logits}
    if has_decoupled_inference(type(method)):
        rules["logits_decoupled"] = partial(method.logits_decoupled, shift="none")
    prepared = enter(evaluating, HALF, method.prepare, bench.scored)
    for name, rule in rules.items():
        dtype = enter(evaluating, HALF, rule, bench.images, prepared).dtype
        require(
            dtype == torch.float32,
            f"{name} are {dtype} at --precision bf16, not float32: compute the last product in "
            "`promptbench.api.full_precision`",
        )
    return f"float32 {' and '.join(rules)} at bfloat16"


def _is_open(bench: Bench) -> bool:
    return type(bench.method).open_vocabulary
