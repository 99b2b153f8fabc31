"""The coupled prompt field: the change of image features that the prompts cause.

Delta(x) = f(x) - f0(x), of the tuned and the frozen features of an image, before ("raw") and after
("unit") L2 normalisation. Its direction and magnitude are compared between the images of the
classes that were learnt (base) and of others (new).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from promptbench.analysis.sweep import Sweep
from promptbench.method import unit

TOP_K = 5
KINDS = ("raw", "unit")


def field_of(found: Sweep, feature: str, kind: str) -> Tensor:
    """Delta [n, d] of a feature, in float64; `kind` is raw or unit."""
    tuned, frozen = found.features[feature], found.frozen
    if kind == "unit":
        tuned, frozen = unit(tuned), unit(frozen)
    return tuned.double() - frozen.double()


@dataclass(frozen=True)
class Agreement:
    """How two fields agree; nan where a field is zero.

    Args:
        mean_cosine: cosine of the mean fields.
        new_to_base, base_to_new: mean cosine of single Deltas to the other group's mean field.
        base_to_base, new_to_new: the same to their own group's mean field, for comparison.
        magnitude_ratio: mean norm of the new field over that of the base field.
        base_magnitude, new_magnitude: these norms.
        shared_new: share of the new field's variance in the top-k directions of the base field.
        shared_base: share of the base field's variance in the top-k directions of the new field.
        own_new, own_base: the shares in the field's own top-k directions, the most there can be.
        subspace: mean cos^2 of the principal angles between both top-k subspaces.
        chance: what two random k-subspaces of d dimensions have of it, k / d.
    """

    mean_cosine: float
    new_to_base: float
    base_to_new: float
    base_to_base: float
    new_to_new: float
    magnitude_ratio: float
    base_magnitude: float
    new_magnitude: float
    shared_new: float
    shared_base: float
    own_new: float
    own_base: float
    subspace: float
    chance: float


def agreement(base: Tensor, new: Tensor, k: int = TOP_K) -> Agreement:
    """Agreement of fields [n_base, d] and [n_new, d]."""
    means = [field.mean(dim=0) for field in (base, new)]
    sizes = [float(field.norm(dim=-1).mean()) for field in (base, new)]
    (u_base, k_base), (u_new, k_new) = principal(base, k), principal(new, k)
    angles = principal_cosines(u_base, u_new)
    return Agreement(
        mean_cosine=_cosine(means[0], means[1]),
        new_to_base=_cosine(new, means[0]),
        base_to_new=_cosine(base, means[1]),
        base_to_base=_cosine(base, means[0]),
        new_to_new=_cosine(new, means[1]),
        magnitude_ratio=sizes[1] / sizes[0] if sizes[0] else math.nan,
        base_magnitude=sizes[0],
        new_magnitude=sizes[1],
        shared_new=captured(new, u_base),
        shared_base=captured(base, u_new),
        own_new=k_new,
        own_base=k_base,
        subspace=float(angles.square().mean()) if len(angles) else math.nan,
        chance=u_base.shape[1] / base.shape[1],
    )


def principal(field: Tensor, k: int) -> tuple[Tensor, float]:
    """The k directions [d, k] of most variance of a field [n, d], and their share of it.

    The variance is about the mean field, tr cov. Fewer directions where the field has fewer.
    """
    centred = field - field.mean(dim=0)
    _, values, directions = torch.linalg.svd(centred, full_matrices=False)
    some = int((values > values[:1] * 1e-6).sum()) if float(values[:1].sum()) else 0
    top = directions[: min(k, some)].mT
    return top, captured(field, top)


def captured(field: Tensor, directions: Tensor) -> float:
    """The share of a field's variance in the span of orthonormal `directions` [d, k]."""
    centred = field - field.mean(dim=0)
    total = float(centred.square().sum())
    if not total or not directions.shape[1]:
        return math.nan
    return float((centred @ directions).square().sum()) / total


def principal_cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosines of the principal angles between the spans of orthonormal [d, k] and [d, l]."""
    cosines: Tensor = torch.linalg.svdvals(a.mT @ b)
    return cosines.clamp(max=1)


def numbers(base: Sweep, new: Sweep) -> Iterator[tuple[str, str, float]]:
    """(part, quantity, value), part "<feature>/<kind>"."""
    for feature in base.features:
        for kind in KINDS:
            found = agreement(field_of(base, feature, kind), field_of(new, feature, kind))
            for quantity, value in vars(found).items():
                yield f"{feature}/{kind}", quantity, value


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


def _cosine(a: Tensor, b: Tensor) -> float:
    """The mean cosine of the rows of a with b; nan where b or all of a is zero."""
    rows = a.reshape(-1, a.shape[-1])
    rows = rows[rows.norm(dim=-1) > 0]
    if not len(rows) or not float(b.norm()):
        return math.nan
    return float((F.normalize(rows, dim=-1) @ F.normalize(b, dim=-1)).mean())
