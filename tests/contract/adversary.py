"""A plugin that looks for the split wherever Python lets it look without breaking in."""

from __future__ import annotations

import gc
import sys
import types
from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar

import gin
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.core.method import ClassSet, Method, full_precision, unit
from promptbench.core.protocol import Leg, Source, Target
from promptbench.models.towers import Towers
from promptbench.planning.cells import Cell

TELLTALES = (Cell, Leg, Source, Target)
WORDS = ("base_to_new", "shapes_neon", "counts", "/base", "/new")
RUNNERS = ("_pytest", "pytest", "pluggy", "xdist", "execnet")
OPAQUE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type, Tensor)


def frames() -> Iterator[types.FrameType]:
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def reachable(roots: list[Any], most: int = 200_000) -> Iterator[Any]:
    """Objects that hang on `roots` as data: no modules, functions, classes and what is in them."""
    seen, waiting = set(), deque(roots)
    while waiting and len(seen) < most:
        thing = waiting.popleft()  # near ones first
        if id(thing) in seen or isinstance(thing, OPAQUE):
            continue
        seen.add(id(thing))
        yield thing
        waiting += [thing.__self__] if isinstance(thing, types.MethodType) else []
        waiting += gc.get_referents(thing)


class Spy(Method):
    """Looks wherever it can, at construction, in training and in evaluation."""

    title, paper, paradigm = "spy", "none", "end-to-end"
    found: ClassVar[list[str]] = []
    looks: ClassVar[list[str]] = []
    stack: ClassVar[bool] = True

    def __init__(self, towers: Towers, classes: ClassSet) -> None:
        super().__init__(towers, classes)
        self.shift = nn.Parameter(torch.zeros(towers.embed_dim))
        self.look("__init__", towers, classes)

    def look(self, when: str, *arguments: Any) -> None:
        every = list(frames()) if Spy.stack else []
        stack = [frame for frame in every if frame.f_code.co_filename != __file__]
        Spy.looks.append(when)
        Spy.found += [f"{when}: scope {gin.current_scope_str()}"] if gin.current_scope() else []
        # The last are looked at first: what runs the tests, outermost, holds more than can be seen.
        outwards = [value for frame in stack for value in frame.f_locals.values()]
        things = [*reversed(outwards), *arguments]
        for thing in reachable(things):
            if isinstance(thing, TELLTALES):
                Spy.found.append(f"{when}: {thing!r:.80}")
            elif isinstance(thing, str) and any(word in thing for word in WORDS):
                Spy.found.append(f"{when}: {thing:.80}")

    def prepare(self, classes: ClassSet) -> Tensor:
        self.look("prepare", classes)
        text = self.towers.text
        return unit(text.features(text.tokens(classes.prompts)) + self.shift)

    def logits(self, images: Tensor, prepared: Tensor) -> Tensor:
        self.look("logits", images, prepared)
        image = self.towers.image
        features = unit(image.features(image.tokens(images)))
        with full_precision(features):
            return self.towers.logit_scale * features @ prepared.T

    def losses(self, images: Tensor, labels: Tensor, prepared: Tensor) -> dict[str, Tensor]:
        self.look("losses", images, labels, prepared)
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}
