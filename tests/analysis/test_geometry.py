"""Uniformity and tolerance: closed forms, invariances, and the error of drawn pairs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from promptbench.analysis.geometry import tolerance, uniformity


def cloud(n: int = 60, d: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + 1


def rotation(d: int = 6) -> Tensor:
    return torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(9)))[0]


def test_uniformity_of_known_sets() -> None:
    same = torch.ones(5, 3)
    assert uniformity(same).value == pytest.approx(0, abs=1e-6)
    opposite = torch.tensor([[1.0, 0.0], [-3.0, 0.0]])  # squared distance 4
    assert uniformity(opposite).value == pytest.approx(-8)
    axes = torch.eye(4)  # squared distance 2, all pairs
    assert uniformity(axes).value == pytest.approx(-4)
    assert uniformity(axes).pairs == 6
    three = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]])  # distances 0, 4, 4
    assert uniformity(three).value == pytest.approx(math.log((1 + 2 * math.exp(-8)) / 3))


def test_tolerance_of_known_sets() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0], [0.0, -1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    assert tolerance(x, labels).over_pairs == pytest.approx((math.sqrt(0.5) - 1) / 2)
    none = tolerance(x, torch.arange(4))
    assert math.isnan(none.over_pairs) and math.isnan(none.macro)


def test_tolerance_is_the_mean_over_all_pairs() -> None:
    x, labels = cloud(), torch.arange(60) % 7
    unit = torch.nn.functional.normalize(x, dim=-1)
    pairs = [
        float(unit[i] @ unit[j]) for i in range(60) for j in range(i) if labels[i] == labels[j]
    ]
    assert tolerance(x, labels).over_pairs == pytest.approx(sum(pairs) / len(pairs), rel=1e-5)


def test_large_classes_make_tolerance_and_count_once_in_its_macro_variant() -> None:
    """900 images of a class point the same way, two of another to opposite sides."""
    same, opposite = torch.tensor([1.0, 0.0]).expand(900, 2), torch.tensor([[0.0, 1.0], [0, -1.0]])
    x = torch.cat([same, opposite, torch.ones(1, 2)])
    labels = torch.tensor([0] * 900 + [1] * 2 + [2])
    pairs = 900 * 899 / 2
    found = tolerance(x, labels)
    assert found.over_pairs == pytest.approx((pairs - 1) / (pairs + 1))
    assert found.macro == pytest.approx(0, abs=1e-9)
    even = tolerance(cloud(), torch.arange(60) % 6)
    assert even.over_pairs == pytest.approx(even.macro)  # classes of one size


def test_rotation_permutation_and_scaling_of_samples_change_nothing() -> None:
    x, labels = cloud(), torch.arange(60) % 7
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    scales = torch.rand(60, 1, generator=torch.Generator().manual_seed(2)) + 0.5
    for y, names in ((x @ rotation(), labels), (x[order], labels[order]), (x * scales, labels)):
        assert uniformity(y).value == pytest.approx(uniformity(x).value, rel=1e-5)
        expected = pytest.approx(vars(tolerance(x, labels)), rel=1e-5)
        assert vars(tolerance(y, names)) == expected


def test_drawn_pairs_agree_within_their_error() -> None:
    x = cloud(400)
    exact = uniformity(x)
    drawn = [uniformity(x, most_pairs=count) for count in (2000, 20_000)]
    assert exact.error == 0 and exact.pairs == 79_800
    for found in drawn:
        assert abs(found.value - exact.value) < 4 * found.error
    assert drawn[0].error / drawn[1].error == pytest.approx(math.sqrt(10), rel=0.1)
    assert uniformity(x, most_pairs=2000) == drawn[0]
