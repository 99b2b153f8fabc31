"""Geometry of image features: uniformity (Wang & Isola 2020) and tolerance (Wang & Liu 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from promptbench.analysis.sweep import Sweep
from promptbench.core.method import unit

MOST_PAIRS = 2_000_000
_T = 2.0
BOUNDS = {  # what a quantity can be
    "uniformity": (-math.inf, 0.0),
    **dict.fromkeys(("tolerance", "tolerance_macro"), (-1.0, 1.0)),
}
_ROWS = 1024  # of the Gram matrix at a time


@dataclass(frozen=True)
class Uniformity:
    """log E exp(-t ||x - y||^2) over pairs; `error` is the standard error of sampling them, 0 where
    all pairs were taken."""

    value: float
    error: float
    pairs: int


def uniformity(features: Tensor, most_pairs: int = MOST_PAIRS, t: float = _T) -> Uniformity:
    """Uniformity of features [n, d] over all pairs of different samples, normalised here.

    With more pairs than `most_pairs`, that many are drawn with a fixed seed; the error is that of
    the mean, carried through the logarithm (s / (m sqrt(pairs)) of potentials of mean m).
    """
    x = unit(features).double()
    n = len(x)
    total = n * (n - 1) // 2
    if total == 0:
        return Uniformity(math.nan, 0.0, 0)
    if total <= most_pairs:
        summed = sum(float(_potential(part @ x.T, t).sum()) for part in x.split(_ROWS))
        return Uniformity(math.log((summed - n) / (2 * total)), 0.0, total)
    rng = torch.Generator().manual_seed(0)
    first = torch.randint(n, (most_pairs,), generator=rng)
    second = (first + torch.randint(1, n, (most_pairs,), generator=rng)) % n
    values = torch.cat(
        [
            _potential((x[a] * x[b]).sum(dim=-1), t)
            for a, b in zip(first.split(2**16), second.split(2**16), strict=True)
        ]
    )
    mean = float(values.mean())
    error = float(values.std()) / (mean * math.sqrt(most_pairs))
    return Uniformity(math.log(mean), error, most_pairs)


def _potential(cosines: Tensor, t: float) -> Tensor:
    """exp(-t ||x - y||^2) of unit vectors, whose squared distance is 2 - 2 cos."""
    return torch.exp(-2 * t * (1 - cosines))


@dataclass(frozen=True)
class Tolerance:
    """The mean cosine of different samples of the same class: over all such pairs, and over classes
    (`macro`). A class of n has n (n - 1) / 2 pairs, so that few large classes make the former."""

    over_pairs: float
    macro: float


def tolerance(features: Tensor, labels: Tensor) -> Tolerance:
    """Tolerance of features [n, d] with labels [n], normalised here; exact.

    The pairs of a class of n unit vectors sum to (||sum x||^2 - n) / 2, so that no pair is visited.
    Classes of one sample have no pair, and do not count; nan where no class has two.
    """
    x = unit(features).double()
    sums, pairs = [], []
    for label in labels.unique():
        own = x[labels == label]
        if len(own) > 1:
            sums.append(float(own.sum(dim=0).square().sum()) - len(own))
            pairs.append(len(own) * (len(own) - 1))
    if not pairs:
        return Tolerance(math.nan, math.nan)
    means = [summed / count for summed, count in zip(sums, pairs, strict=True)]
    return Tolerance(sum(sums) / sum(pairs), sum(means) / len(means))


def numbers(found: Sweep) -> Iterator[tuple[str, str, float]]:
    """(feature, quantity, value) of the tuned features and of the frozen ones, "zero-shot"."""
    for name, features in {**found.features, "zero-shot": found.frozen}.items():
        spread = uniformity(features)
        yield name, "uniformity", spread.value
        yield name, "uniformity_error", spread.error
        yield name, "pairs", float(spread.pairs)
        within = tolerance(features, found.labels)
        yield name, "tolerance", within.over_pairs
        yield name, "tolerance_macro", within.macro
