"""The coupled prompt field: the change of image features that the prompts cause.

Delta(x) = f(x) - f0(x), of the tuned and the frozen features of an image, before ("raw") and after
("unit") L2 normalisation. Its direction and magnitude are compared between the images of the
classes that were learned (base) and of others (new).

Image features lie in a narrow cone, so that almost any change of them agrees between two groups.
What an agreement is worth is seen beside fields that learned nothing, and beside that of two halves
of base.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from promptbench.analysis.agreement import TOP_K, agreement, first_half
from promptbench.analysis.bootstrap import agreement_intervals
from promptbench.analysis.sweep import Sweep
from promptbench.core.method import unit
from promptbench.support.seeding import stream

KINDS = ("raw", "unit")
PARTS = tuple(f"{feature}/{kind}" for feature in ("cls", "rep") for kind in KINDS)
EPOCH_0, MINUS, RANDOM, HALVES = "epoch-0", "minus-f0", "random-map", "split-halves"
REFERENCES = {
    EPOCH_0: "before training",
    MINUS: "Δ = −f⁰",
    RANDOM: "random linear map",
    HALVES: "split halves, base",  # the ceiling; the others are nulls
}


def beside(part: str, reference: str) -> str:
    """The part of what stands beside a field: cls/unit/epoch-0."""
    return f"{part}/{reference}"


def delta(tuned: Tensor, frozen: Tensor, kind: str) -> Tensor:
    """Delta [n, d] of features, in float64; `kind` is raw or unit."""
    return _of_kind(tuned, kind).double() - _of_kind(frozen, kind).double()


def field_of(found: Sweep, feature: str, kind: str) -> Tensor:
    """Delta [n, d] of a feature of a sweep."""
    return delta(found.features[feature], found.frozen, kind)


def references(
    base: Sweep, new: Sweep, feature: str, kind: str, seed: int
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(name, base field, new field) of each of REFERENCES that there is.

    The random linear map takes frozen features to a field whose mean norm on base is the method's;
    it is drawn on a stream of the run's seed, the same for all methods.
    """
    if feature in base.untrained:
        before = [delta(s.untrained[feature], s.frozen, kind) for s in (base, new)]
        yield EPOCH_0, before[0], before[1]
    frozen = [_of_kind(sweep.frozen, kind).double() for sweep in (base, new)]
    yield MINUS, -frozen[0], -frozen[1]
    own = field_of(base, feature, kind)
    mapped = [x @ random_map(x.shape[1], seed) for x in frozen]
    size = own.norm(dim=1).mean() / mapped[0].norm(dim=1).mean()
    yield RANDOM, mapped[0] * size, mapped[1] * size
    half = first_half(len(own))
    yield HALVES, own[half], own[~half]


def random_map(d: int, seed: int) -> Tensor:
    """A map [d, d] of independent normal numbers, on a stream of `seed`."""
    rng = torch.Generator().manual_seed(stream(seed, "analysis", "random map"))
    return torch.randn(d, d, generator=rng, dtype=torch.float64)


def numbers(
    base: Sweep, new: Sweep, seed: int, full: bool = True
) -> Iterator[tuple[str, str, float]]:
    """(part, quantity, value), part "<feature>/<kind>", and "<feature>/<kind>/<reference>".

    Of unit fields also the ends of 95% intervals over images, "<quantity>_low" and "_high".
    `full`: with references and intervals.
    """
    for feature in base.features:
        for kind in KINDS:
            part = f"{feature}/{kind}"
            own = [field_of(sweep, feature, kind) for sweep in (base, new)]
            yield from _numbers(part, own[0], own[1], full and kind == "unit")
            yield part, "isotropic", TOP_K / own[0].shape[1]
            if not full:
                continue
            for name, there, here in references(base, new, feature, kind, seed):
                yield from _numbers(beside(part, name), there, here, kind == "unit")


def _numbers(
    part: str, base: Tensor, new: Tensor, intervals: bool
) -> Iterator[tuple[str, str, float]]:
    points = vars(agreement(base, new))
    for quantity, value in points.items():
        yield part, quantity, value
    if intervals:
        for quantity, low, high in agreement_intervals(base, new, points):
            yield part, f"{quantity}_low", low
            yield part, f"{quantity}_high", high


def per_class(own: Sweep, other: Sweep) -> Iterator[tuple[str, str, str, float]]:
    """(part, class, quantity, value) of every class of `own`.

    Its mean norm, and the cosine of its mean field to the mean field of the other group and of its
    own group without the class.
    """
    for feature in own.features:
        for kind in KINDS:
            field, there = (field_of(sweep, feature, kind) for sweep in (own, other))
            part, mean = f"{feature}/{kind}", there.mean(dim=0)
            for label in own.labels.unique().tolist():
                inside = own.labels == label
                centre, name = field[inside].mean(dim=0), own.classes[label]
                rest = field[~inside]
                yield part, name, "magnitude", float(field[inside].norm(dim=-1).mean())
                yield part, name, "cosine_to_other_group", _cosine(centre, mean)
                if len(rest):
                    yield part, name, "cosine_to_own_group", _cosine(centre, rest.mean(dim=0))


def _of_kind(features: Tensor, kind: str) -> Tensor:
    return unit(features) if kind == "unit" else features


def _cosine(a: Tensor, b: Tensor) -> float:
    """The cosine of two vectors; nan where one is zero."""
    if not float(a.norm()) or not float(b.norm()):
        return math.nan
    return float(F.normalize(a, dim=0) @ F.normalize(b, dim=0))
