"""A method under test, on a tiny CLIP with random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from promptbench.config import copied
from promptbench.contract.towers import tiny_towers
from promptbench.contract.world import World
from promptbench.core.method import (
    ClassSet,
    Method,
    Staged,
    has_solver,
    sees_images,
    uses_class_texts,
)
from promptbench.core.registry import Plugin
from promptbench.isolation.entering import enter, learnables
from promptbench.models.towers import Towers
from promptbench.models.towers.fingerprint import Fingerprint, fingerprint
from promptbench.running.lab.calling import built, learning
from promptbench.running.lab.compute import Compute
from promptbench.running.training.gradients import backward
from promptbench.support.seeding import seeded

Build = Callable[[Towers, ClassSet], Method]
Settings = Mapping[str, Mapping[str, Any]]  # by class
FULL, HALF = (Compute(torch.device("cpu"), precision) for precision in ("fp32", "bf16"))


@dataclass(frozen=True)
class Bench:
    """A method under test on tiny towers, and how to build another of its kind.

    `scored` is the class list it is evaluated on: unseen names, or those of its training for a
    method that says it cannot score others. Class lists come with texts if the method says that it
    uses them. Methods are entered as a run enters them.
    """

    build: Build
    world: World
    towers: Towers
    untouched: Fingerprint  # of the towers, before the method was built
    method: Method
    scored: ClassSet

    @classmethod
    def of(cls, build: Build, world: World | None = None) -> Bench:
        world = (world or World.standard()).told(bool(getattr(build, "class_texts", False)))
        towers = tiny_towers(world.seed, world.shape)
        untouched = fingerprint(towers)
        method = _learning(build, towers, world)
        same = replace(world.train, template=world.other.template)  # with the texts, if any
        scored = world.other if type(method).open_vocabulary else same
        return cls(build, world, towers, untouched, method, scored)

    @property
    def images(self) -> Tensor:
        """The batch that is learned and asked, [n, 3, size, size]."""
        return self.world.images

    @property
    def train(self) -> ClassSet:
        """The classes that were trained on."""
        return self.world.train

    def another(self, seed: int) -> Method:
        """A second method of the kind on the same towers, with what it draws on a seed's stream."""
        return _learning(self.build, self.towers, self.world, seed)

    def fresh(self, seed: int, classes: ClassSet | None = None) -> Method:
        """A method of the kind that has not been shown an image; of other classes to learn."""
        with seeded(seed, "contract"):
            return enter(built, FULL, self.build, self.towers, classes or self.world.train)

    def terms(self, method: Method | None = None) -> dict[str, Tensor]:
        """The loss terms of a batch; what losses draw comes from one stream each time."""
        with seeded(0, "losses"):
            return enter(_terms, method or self.method, self.world)

    def at_half_precision(self) -> Method:
        """A method of the kind on towers as a run with `--precision bf16` has them (`HALF`)."""
        towers = tiny_towers(self.world.seed, self.world.shape)
        towers.cast(HALF.dtype)
        return _learning(self.build, towers, self.world, compute=HALF)

    def total(self, method: Method | None = None) -> Tensor:
        """The training loss of a batch."""
        chosen = method or self.method
        return enter(chosen.total, self.terms(chosen))

    def gradients(
        self, method: Method | None = None, scaler: torch.amp.GradScaler | None = None
    ) -> dict[str, Tensor]:
        """The gradients of a step by parameter, as a training takes them; they are left in place.

        Args:
            scaler: what scales them; None: nothing does.
        """
        chosen = method or self.method
        terms = self.terms(chosen)
        total = enter(chosen.total, terms)
        for _, parameter in learnables(chosen):
            parameter.grad = None
        if total.requires_grad:
            backward(chosen, terms, total, scaler or FULL.scaler())
        return {name: p.grad for name, p in learnables(chosen) if p.grad is not None}

    def stages(self) -> Iterator[Method]:
        """The method in each stage of its training; one that has no stages as it is."""
        if not isinstance(self.method, Staged):
            yield self.method
            return
        for number in range(1, type(self.method).stages + 1):
            yield _learning(self.build, self.towers, self.world, stages=number)

    def step(self, method: Method | None = None) -> None:
        """A step of training, as large as to be seen; nothing where nothing is learned."""
        chosen = method or self.method
        enter(chosen.train)
        learned = [p for _, p in learnables(chosen) if p.requires_grad]
        if learned:
            optimizer = torch.optim.SGD(learned, lr=0.1)
            self.gradients(chosen)
            optimizer.step()

    def logits(
        self, classes: ClassSet, images: Tensor | None = None, method: Method | None = None
    ) -> Tensor:
        """The logits of images (the batch) over a class list."""
        (found,) = self.stream(classes, [self.images if images is None else images], method)
        return found

    def stream(
        self, classes: ClassSet, batches: Sequence[Tensor], method: Method | None = None
    ) -> list[Tensor]:
        """The logits of batches, one after the other, over a class list prepared once."""
        chosen = method or self.method
        enter(chosen.eval)
        with torch.no_grad():
            prepared = enter(chosen.prepare, classes)
            return [enter(chosen.logits, images, prepared) for images in batches]


def _terms(method: Method, world: World) -> dict[str, Tensor]:
    images = world.viewed(type(method).views)
    return dict(method.losses(images, world.labels, method.prepare(world.train)))


def _learning(
    build: Build,
    towers: Towers,
    world: World,
    seed: int = 0,
    compute: Compute = FULL,
    stages: int | None = None,
) -> Method:
    """A method that can be asked: as constructed, after it was shown the training images, and in
    one of its stages (None: the last)."""
    with seeded(seed, "contract"):
        method = enter(built, compute, build, towers, world.train)
        if sees_images(type(method)):
            function = "solve" if has_solver(type(method)) else "start_from"
            enter(learning, compute, getattr(method, function), iter(world.shown(method.passes)))
        if isinstance(method, Staged):
            for number in range(1, (stages or type(method).stages) + 1):
                enter(learning, compute, method.begin_stage, number)
    return method


@dataclass(frozen=True)
class Configured:
    """What makes a method under its settings; `class_texts`: of classes with texts."""

    cls: type[Method]
    parameters: Mapping[str, Any]
    class_texts: bool

    def __call__(self, towers: Towers, classes: ClassSet) -> Method:
        return self.cls(towers, classes, **copied(dict(self.parameters)))


def build_of(plugin: Plugin[Any], settings: Settings) -> Build:
    """What makes the method under its settings."""
    parameters = settings[plugin.cls.__name__]
    return Configured(plugin.cls, parameters, uses_class_texts(plugin.cls, parameters))
