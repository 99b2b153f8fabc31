"""How two fields agree, under weights of their images.

Weights are how often an image counts: once each for the number itself, as often as it was drawn for
a resample. A row of weights is a resample, so that many of them are computed together.

What looks at a group from itself looks from other images of it. A cosine to the own mean is one to
the mean of all other images, and directions are those of one half in the other half: in-sample they
would be 1 / sqrt(n) and more of pure noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from promptbench.running.lab.arithmetic import restored
from promptbench.support.seeding import generator

TOP_K = 5
BOUNDS = {  # what a quantity can be
    **dict.fromkeys(("mean_cosine", "new_to_base", "base_to_new"), (-1.0, 1.0)),
    **dict.fromkeys(("base_to_base", "new_to_new"), (-1.0, 1.0)),
    **dict.fromkeys(("base_magnitude", "new_magnitude", "magnitude_ratio"), (0.0, float("inf"))),
    **dict.fromkeys(("base_coherence", "new_coherence"), (0.0, 1.0)),
    **dict.fromkeys(("shared_new", "shared_base", "own_new", "own_base"), (0.0, 1.0)),
    "subspace": (0.0, 1.0),
}
_NOTHING = 1e-12  # of a sum of squares: what rounding leaves
_AT_ONCE = 2**22  # numbers of a product that are held together


@dataclass(frozen=True)
class Agreement:
    """How two fields agree; nan where a field is zero or has too few images.

    Args:
        mean_cosine: cosine of the mean fields.
        new_to_base, base_to_new: mean cosine of single Deltas to the other group's mean field.
        base_to_base, new_to_new: the same to the mean field of the own group without the image.
        base_magnitude, new_magnitude: the mean norms.
        magnitude_ratio: that of the new field over that of the base field.
        base_coherence, new_coherence: norm of the mean over mean of the norms; the former from
            pairs of different images.
        shared_new: share of the new field's variance in the top-k directions of the base field.
        shared_base: share of the base field's variance in the top-k directions of the new field.
        own_new, own_base: shares of one half's variance in the top-k directions of the other half.
        subspace: mean cos^2 of the principal angles between both top-k subspaces.
    """

    mean_cosine: float
    new_to_base: float
    base_to_new: float
    base_to_base: float
    new_to_new: float
    base_magnitude: float
    new_magnitude: float
    magnitude_ratio: float
    base_coherence: float
    new_coherence: float
    shared_new: float
    shared_base: float
    own_new: float
    own_base: float
    subspace: float


def agreement(base: Tensor, new: Tensor, k: int = TOP_K) -> Agreement:
    """Agreement of fields [n_base, d] and [n_new, d], float64."""
    once = [torch.ones(1, len(field), dtype=field.dtype) for field in (base, new)]
    found = agreements(base, new, once[0], once[1], k)
    return Agreement(**{name: float(values[0]) for name, values in found.items()})


def agreements(
    base: Tensor, new: Tensor, of_base: Tensor, of_new: Tensor, k: int = TOP_K, most: int = 0
) -> dict[str, Tensor]:
    """The quantities of an `Agreement`, [b] each, under weights [b, n_base] and [b, n_new].

    `most`: the directions of a resample are looked for among that many of the whole sample (0: all
    d), which is what makes many resamples affordable.
    """
    with restored():
        # Threads that wait for each other at each of thousands of tiny eigenproblems take up to a
        # hundred times as long on a busy machine.
        torch.set_num_threads(1)
        return _agreements(base, new, of_base, of_new, k, most)


def _agreements(
    base: Tensor, new: Tensor, of_base: Tensor, of_new: Tensor, k: int, most: int
) -> dict[str, Tensor]:
    axes = _axes(base, new, most)
    b, n = _Sums.of(base, of_base, axes), _Sums.of(new, of_new, axes)
    u_base, u_new = (top(group.whole, k) for group in (b, n))
    overlap = (u_base.mT @ u_new).square().sum(dim=(1, 2))
    fewer = torch.minimum(*(directions.any(dim=1).sum(dim=1) for directions in (u_base, u_new)))
    return {
        "mean_cosine": F.cosine_similarity(b.mean, n.mean, dim=1, eps=0.0),
        "new_to_base": _toward(n, b),
        "base_to_new": _toward(b, n),
        "base_to_base": b.to_others,
        "new_to_new": n.to_others,
        "base_magnitude": b.magnitude,
        "new_magnitude": n.magnitude,
        "magnitude_ratio": n.magnitude / b.magnitude,
        "base_coherence": b.coherence,
        "new_coherence": n.coherence,
        "shared_new": captured(n.whole, u_base),
        "shared_base": captured(b.whole, u_new),
        "own_new": _own(n, k),
        "own_base": _own(b, k),
        "subspace": overlap / fewer,
    }


def first_half(n: int) -> Tensor:
    """Which of n images are in the first half [n]; drawn with a fixed seed."""
    return torch.from_numpy(generator(0, "analysis", "halves", n).permutation(n) % 2 == 0)


@dataclass(frozen=True)
class Scatter:
    """Sums of x x^T about the mean, [b, r, r], along r axes, and of ||x||^2, [b], along all d."""

    along: Tensor
    total: Tensor


def top(scatter: Scatter, k: int) -> Tensor:
    """The k directions of most variance [b, r, k]; zero where the field has fewer."""
    values, directions = torch.linalg.eigh(scatter.along)
    values, directions = values[:, -k:], directions[:, :, -k:]
    some = values > torch.maximum(values[:, -1:], scatter.total[:, None]) * _NOTHING
    kept: Tensor = directions * some[:, None]
    return kept


def captured(scatter: Scatter, directions: Tensor) -> Tensor:
    """The share [b] of the variance in the span of orthonormal `directions` [b, r, k]."""
    inside = torch.einsum("brk,brs,bsk->b", directions, scatter.along, directions)
    missing = ~directions.any(dim=2).any(dim=1)
    share: Tensor = torch.where(missing, torch.nan, inside / scatter.total)
    return share


# --- weighted sums of one field -----------------------------------------------------------------


@dataclass(frozen=True)
class _Sums:
    """Of a field under weights: means [b, d] (of Delta; of the directions of non-zero ones),
    quantities of the group itself [b], and scatters of the whole and of both halves."""

    mean: Tensor
    direction: Tensor
    magnitude: Tensor
    coherence: Tensor
    to_others: Tensor
    whole: Scatter
    halves: tuple[Scatter, Scatter]

    @classmethod
    def of(cls, x: Tensor, weights: Tensor, axes: Tensor | None) -> _Sums:
        norms, count = x.norm(dim=1), weights.sum(dim=1)
        units = F.normalize(x, dim=1, eps=torch.finfo(x.dtype).tiny)
        total, magnitude = weights @ x, weights @ norms / count
        first = first_half(len(x))
        moments = [_Moments.of(x[own], weights[:, own], axes) for own in (first, ~first)]
        return cls(
            mean=total / count[:, None],
            direction=weights @ units / (weights @ (norms > 0).to(x.dtype))[:, None],
            magnitude=magnitude,
            coherence=_coherence(norms, weights, total) / magnitude,
            to_others=_to_others(x, norms, weights, total),
            whole=(moments[0] + moments[1]).scatter(),
            halves=(moments[0].scatter(), moments[1].scatter()),
        )


@dataclass(frozen=True)
class _Moments:
    """Weighted sums: of ones [b], x [b, d], the same along the axes [b, r], x x^T along them
    [b, r, r], ||x||^2 [b]. Those of two sets of images add up."""

    count: Tensor
    total: Tensor
    along: Tensor
    products: Tensor
    energy: Tensor

    @classmethod
    def of(cls, x: Tensor, weights: Tensor, axes: Tensor | None) -> _Moments:
        z = x if axes is None else x @ axes
        parts = weights.split(_rows(z.numel()))
        return cls(
            count=weights.sum(dim=1),
            total=weights @ x,
            along=weights @ z,
            products=torch.cat([(z.mT * part[:, None]) @ z for part in parts]),
            energy=weights @ x.square().sum(dim=1),
        )

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(*(a + b for a, b in zip(*map(_values, (self, other)), strict=True)))

    def scatter(self) -> Scatter:
        count = self.count
        total = self.energy - self.total.square().sum(dim=1) / count
        varies = (count > 0) & (total > self.energy * _NOTHING)
        about = self.products - self.along[:, :, None] * self.along[:, None] / count[:, None, None]
        return Scatter(
            about.where(varies[:, None, None], torch.zeros_like(about)),
            total.where(varies, torch.full_like(total, torch.nan)),
        )


def _values(moments: _Moments) -> Iterator[Tensor]:
    yield from vars(moments).values()


def _axes(base: Tensor, new: Tensor, most: int) -> Tensor | None:
    """The `most` directions of most variance of both fields, each counting as much; None: all."""
    if not most or base.shape[1] <= most:
        return None
    both = torch.zeros(base.shape[1], base.shape[1], dtype=base.dtype)
    for x in (base, new):
        centred = x - x.mean(dim=0)
        total = centred.square().sum()
        both += centred.mT @ centred / total if total > 0 else 0
    _, directions = torch.linalg.eigh(both)
    kept: Tensor = directions[:, -most:]
    return kept


def _toward(group: _Sums, other: _Sums) -> Tensor:
    """Mean cosine [b] of a group's Deltas to the other's mean."""
    cosine: Tensor = (group.direction * other.mean).sum(dim=1) / other.mean.norm(dim=1)
    return cosine


def _own(group: _Sums, k: int) -> Tensor:
    one, other = group.halves
    return (captured(one, top(other, k)) + captured(other, top(one, k))) / 2


def _coherence(norms: Tensor, weights: Tensor, total: Tensor) -> Tensor:
    """The norm [b] of the mean, from pairs of different images: E <x, y> of noise is 0, while the
    square of a mean keeps its noise."""
    pairs = weights.sum(dim=1).square() - weights.square().sum(dim=1)
    products = total.square().sum(dim=1) - weights.square() @ norms.square()
    return (products / pairs).clamp(min=0).sqrt().where(pairs > 0, torch.nan)


def _to_others(x: Tensor, norms: Tensor, weights: Tensor, total: Tensor) -> Tensor:
    """Mean cosine [b] of each image to the mean of the others; all its copies are left out."""
    found = []
    squares = norms.square()[:, None]
    for part, sums in zip(*(t.split(_rows(len(x))) for t in (weights, total)), strict=True):
        w, onto = part.mT, x @ sums.mT  # [n, b]
        size = sums.square().sum(dim=1)
        rest = size - 2 * w * onto + w.square() * squares
        valid = (norms[:, None] > 0) & (rest > (size + w.square() * squares) * _NOTHING)
        cosines = (onto - w * squares) / (norms[:, None] * rest.clamp(min=0).sqrt())
        kept = w * valid
        found.append((kept * cosines.where(valid, torch.zeros_like(cosines))).sum(0) / kept.sum(0))
    return torch.cat(found)


def _rows(numbers: int) -> int:
    """How many resamples are held together if each takes so many numbers."""
    return max(1, _AT_ONCE // max(1, numbers))
