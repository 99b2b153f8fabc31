"""A method under test, on the tiny CLIP with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from promptbench.contract.towers import tiny_towers
from promptbench.isolation import isolated
from promptbench.lab.calling import built, learning
from promptbench.lab.compute import Compute
from promptbench.method import ClassSet, Method, Solver
from promptbench.seeding import seeded
from promptbench.towers import Towers
from promptbench.towers.fingerprint import Fingerprint, fingerprint

TRAIN = ClassSet(("cat", "red_fox", "airplane", "oxford style house"), "a photo of a {}.")
OTHER = ClassSet(("river", "annual crop", "tabby cat", "sea_anemone", "dog"), "a sketch of a {}.")

Build = Callable[[Towers, ClassSet], Method]
FULL, HALF = (Compute(torch.device("cpu"), precision) for precision in ("fp32", "bf16"))


@dataclass(frozen=True)
class Bench:
    """A method under test on tiny towers, and how to build another of its kind.

    `scored` is the class list it is evaluated on: unseen names, or those of its training for a
    method that says it cannot score others.
    """

    build: Build
    towers: Towers
    untouched: Fingerprint  # of the towers, before the method was built
    method: Method
    images: Tensor  # [6, 3, 16, 16]
    labels: Tensor  # [6]
    scored: ClassSet

    @classmethod
    def of(cls, build: Build) -> Bench:
        towers = tiny_towers()
        untouched = fingerprint(towers)
        stream = torch.Generator().manual_seed(0)
        images = torch.randn(6, 3, 16, 16, generator=stream)
        labels = torch.tensor([0, 1, 2, 3, 0, 1])
        method = _learning(build, towers, images, labels)
        scored = OTHER if method.open_vocabulary else replace(TRAIN, template=OTHER.template)
        return cls(build, towers, untouched, method, images, labels, scored)

    def another(self, seed: int) -> Method:
        """A second method of the kind on the same towers, with what it draws on a seed's stream."""
        return _learning(self.build, self.towers, self.images, self.labels, seed)

    def at_half_precision(self) -> Method:
        """A method of the kind on towers as a run with `--precision bf16` has them (`HALF`)."""
        towers = tiny_towers()
        towers.cast(HALF.dtype)
        return _learning(self.build, towers, self.images, self.labels, compute=HALF)

    def total(self, method: Method | None = None) -> Tensor:
        """The training loss of a batch; what losses draw comes from one stream each time."""
        chosen = method or self.method
        with seeded(0, "losses"):
            return chosen.total(chosen.losses(self.images, self.labels, chosen.prepare(TRAIN)))

    def logits(
        self, classes: ClassSet, images: Tensor | None = None, method: Method | None = None
    ) -> Tensor:
        chosen = (method or self.method).eval()
        with torch.no_grad():
            return chosen.logits(self.images if images is None else images, chosen.prepare(classes))


def _learning(
    build: Build,
    towers: Towers,
    images: Tensor,
    labels: Tensor,
    seed: int = 0,
    compute: Compute = FULL,
) -> Method:
    """A method that can be asked: as constructed, or after its own solver has run."""
    with seeded(seed, "contract"):
        method = isolated(built, compute, build, towers, TRAIN)
        if isinstance(method, Solver):
            learning(compute, method.solve, [(images, labels)])
    return method
