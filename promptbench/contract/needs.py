"""What a method asks of the towers, against what its `needs` say.

While a method is looked at, the towers of its bench note what they are asked for, by the names of
`promptbench.models.capabilities`. Their answers are the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from promptbench.contract.bench import Bench
from promptbench.contract.verdicts import require
from promptbench.core.method import Method
from promptbench.core.traits import has_decoupled_inference
from promptbench.isolation.entering import enter
from promptbench.models.capabilities import OFFERS
from promptbench.models.towers import Towers
from promptbench.models.towers.tower import Tower

_OF_BLOCKS = ("run", "frozen", "view", "weights")
_OF_CLS = ("projection", "normed", "pool")
_TOWERS = "promptbench.models."
_WIDTH = "text width"  # whoever changes words or blocks asks for it


def it_reads_only_what_it_needs(bench: Bench) -> str:
    """It asks the towers for nothing that its `needs` do not name."""
    cls = type(bench.method)
    with noting(bench.towers) as found:
        method = bench.another(seed=0)
        bench.total(method)
        bench.logits(bench.scored, method=method)
        if has_decoupled_inference(cls):
            _decoupled(bench, method)
    if _WIDTH in found and "text_blocks" not in found:  # of embedded words, then
        found.add("text_embeddings")
    read = [name for name in OFFERS if name in found]
    spelled = f"needs = ({', '.join(map(repr, read))}{',' if len(read) == 1 else ''})"
    if cls.needs is Method.needs:
        return f"it says nothing, and runs on CLIP's vision transformers only; it reads: {spelled}"
    silent = [name for name in read if name not in cls.needs]
    require(
        not silent,
        f"it reads {' and '.join(silent)}, which its `needs` do not name: {spelled}",
    )
    return f"reads {', '.join(read) or 'features only'}; needs {', '.join(cls.needs) or 'no more'}"


def _decoupled(bench: Bench, method: Any) -> None:
    enter(method.eval)
    with torch.no_grad():
        prepared = enter(method.prepare, bench.scored)
        enter(partial(method.logits_decoupled, shift="none"), bench.images, prepared)


@contextmanager
def noting(towers: Towers) -> Iterator[set[str]]:
    """Inside the block both towers note, in a set of names, what others than they ask them for."""
    found: set[str] = set()
    sides = {"text": towers.text, "image": towers.image}
    kinds = {side: type(tower) for side, tower in sides.items()}
    for side, tower in sides.items():
        tower.__class__ = _noting_kind(kinds[side], side, found)
    try:
        yield found
    finally:
        for side, tower in sides.items():
            tower.__class__ = kinds[side]


def _noting_kind(kind: type[Tower], side: str, found: set[str]) -> Any:
    """A class of towers that notes what it is asked for."""
    what = {**dict.fromkeys((*_OF_BLOCKS, "pool"), f"{side}_blocks")}
    what |= dict.fromkeys(_OF_CLS, "image_cls") if side == "image" else {"embed": "text_embeddings"}
    what["width"] = "image_blocks" if side == "image" else _WIDTH

    def looked_up(self: Any, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name != "features" and name not in what:
            return value
        if sys._getframe(1).f_globals.get("__name__", "").startswith(_TOWERS):
            return value  # a tower asks itself
        if name != "features":
            found.add(what[name])
            return value
        return partial(_features, value, side, found)

    return type(kind.__name__, (kind,), {"__getattribute__": looked_up})


def _features(
    usual: Callable[..., Any],
    side: str,
    found: set[str],
    tokens: Any,
    edits: Any = None,
    deltas: Any = None,
) -> Any:
    numbers = {*(edits or {}), *(deltas or {})}
    if side == "text" and 0 in numbers:
        found.add("text_embeddings")
        numbers.discard(0)
    if numbers:
        found.add(f"{side}_blocks")
    return usual(tokens, edits, deltas)
