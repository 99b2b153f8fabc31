"""Intervals over images: drawn with fixed seeds, without bias, with the coverage they promise."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from promptbench.analysis import bootstrap
from promptbench.analysis.agreement import agreement, agreements
from promptbench.analysis.bootstrap import agreement_intervals, interval, resamples

D = 8
_SPREAD = torch.arange(1, D + 1) ** -1.0


def fields(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two fields with different means, and the same directions of most variance."""
    rng = torch.Generator().manual_seed(seed)
    found = []
    for angle in (0.0, 0.2):
        mean = torch.zeros(D, dtype=torch.float64)
        mean[:2] = torch.tensor([math.cos(angle), math.sin(angle)])
        noise = torch.randn(n, D, generator=rng, dtype=torch.float64)
        found.append(mean + noise * _SPREAD)
    return found[0], found[1]


def test_every_resample_draws_as_many_images_and_the_same_again() -> None:
    drawn = resamples(30, "base")
    assert drawn.shape == (bootstrap.RESAMPLES, 30) and set(drawn.sum(dim=1).tolist()) == {30.0}
    assert drawn.equal(resamples(30, "base")) and not drawn.equal(resamples(30, "new"))
    assert drawn.mean().item() == pytest.approx(1)
    assert drawn.var().item() == pytest.approx(29 / 30, rel=0.05)  # multinomial


def test_an_interval_takes_the_bias_off_and_keeps_the_bounds() -> None:
    resampled = torch.tensor([0.5, 0.6, 0.7], dtype=torch.float64)  # 0.1 below the point
    assert interval(0.7, resampled, (0, 2)) == pytest.approx((0.8 - 0.196, 0.8 + 0.196))
    assert interval(0.7, resampled, (0, 0.9)) == pytest.approx((0.604, 0.9))
    assert interval(0.99, resampled, (0, 1)) == (1, 1)
    assert all(map(math.isnan, interval(math.nan, resampled, (0, 1))))
    resampled[1] = math.nan
    assert all(map(math.isnan, interval(0.9, resampled, (0, 1))))


def test_a_field_that_is_zero_has_no_interval() -> None:
    zero = torch.zeros(20, D, dtype=torch.float64)
    points = vars(agreement(zero, zero))
    found = {name: ends for name, *ends in agreement_intervals(zero, zero, points)}
    assert all(map(math.isnan, found["mean_cosine"])) and found["base_magnitude"] == [0, 0]


def test_the_mean_of_norms_has_its_textbook_interval() -> None:
    base, new = fields(400, 0)
    points = vars(agreement(base, new))
    found = {name: ends for name, *ends in agreement_intervals(base, new, points)}
    norms = base.norm(dim=1)
    half = 1.96 * norms.std().item() / math.sqrt(400)
    expected = norms.mean().item() - half, norms.mean().item() + half
    assert found["base_magnitude"] == pytest.approx(expected, abs=0.25 * half)


def test_coverage_of_intervals() -> None:
    """Of 95% intervals of 100 samples of 80 images; plain percentiles often miss the directions."""
    true = vars(agreement(*fields(40_000, 12345)))
    names = (
        "mean_cosine",
        "new_to_base",
        "base_to_base",
        "base_coherence",
        "own_new",
        "shared_new",
    )
    hits, plain, times = dict.fromkeys(names, 0), 0, 100
    for seed in range(times):
        base, new = fields(80, seed)
        draws = [resamples(80, name, seed, count=100) for name in ("base", "new")]
        values = agreements(base, new, *draws)
        points = vars(agreement(base, new))
        for name in names:
            low, high = interval(points[name], values[name], (-1, 1))
            hits[name] += low <= true[name] <= high
        tails = torch.tensor([0.025, 0.975], dtype=torch.float64)
        low, high = torch.quantile(values["own_new"], tails).tolist()
        plain += low <= true["own_new"] <= high
    assert all(0.9 <= hit / times <= 1 for hit in hits.values()), hits
    assert plain / times < 0.8
