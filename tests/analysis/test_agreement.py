"""How two fields agree: closed forms, invariances, and what pure noise gives."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from promptbench.analysis.agreement import (
    Agreement,
    Scatter,
    agreement,
    agreements,
    captured,
    first_half,
    top,
)


def draw(n: int = 50, d: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(d: int = 8) -> Tensor:
    return torch.linalg.qr(draw(d, d, seed=9))[0]


def close(a: Agreement, b: Agreement, **other: float) -> None:
    expected = vars(b) | other
    assert vars(a) == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_the_same_field_agrees_wholly() -> None:
    delta = draw() + 1
    found = agreement(delta, delta.clone(), k=3)
    assert found.mean_cosine == pytest.approx(1) and found.magnitude_ratio == pytest.approx(1)
    assert found.subspace == pytest.approx(1)
    assert found.shared_new == pytest.approx(found.shared_base)


def test_a_constant_shift() -> None:
    shift = torch.tensor([3.0, 4.0, 0.0, 0.0], dtype=torch.float64)
    found = agreement(shift.expand(6, 4), -2 * shift.expand(5, 4))
    assert found.mean_cosine == found.new_to_base == pytest.approx(-1)
    assert found.base_to_base == found.base_coherence == pytest.approx(1)
    assert (found.base_magnitude, found.new_magnitude) == pytest.approx((5, 10))
    assert found.magnitude_ratio == pytest.approx(2)
    assert math.isnan(found.shared_new) and math.isnan(found.subspace)  # nothing varies


def test_fields_in_orthogonal_directions_share_nothing() -> None:
    base, new = torch.zeros(40, 8).double(), torch.zeros(40, 8).double()
    base[:, :3], new[:, 3:6] = draw(40, 3), draw(40, 3, seed=1)
    found = agreement(base, new, k=3)
    assert (found.shared_new, found.shared_base) == pytest.approx((0, 0), abs=1e-12)
    assert (found.own_new, found.own_base) == pytest.approx((1, 1))
    assert found.subspace == pytest.approx(0, abs=1e-12)
    assert found.mean_cosine == pytest.approx(0, abs=1e-12)


def scattered(x: Tensor) -> Scatter:
    centred = x - x.mean(dim=0)
    products = centred.mT @ centred
    return Scatter(products[None], products.trace()[None])


def test_a_known_angle_between_subspaces() -> None:
    angle = 0.3
    a = torch.eye(4).double()[:, :2]
    b = a.clone()
    b[:, 1] = torch.tensor([0.0, math.cos(angle), math.sin(angle), 0.0])
    spread = torch.diag(torch.tensor([2.0, 1.0, 1.0, 0.0])).double()
    spread = torch.cat([spread, -spread])  # variances 4 : 1 : 1, mean zero
    for directions, expected in ((a, 5 / 6), (b, 5 / 6), (a[:, 1:], 1 / 6)):
        assert captured(scattered(spread), directions[None]).item() == pytest.approx(expected)
    fields = [2 * draw(60, 1) @ a[:, :1].mT + draw(60, 1, 5) @ u[:, 1:].mT for u in (a, b)]
    assert agreement(*fields, k=2).subspace == pytest.approx((1 + math.cos(angle) ** 2) / 2)


def test_directions_of_most_variance() -> None:
    wide = draw(500, 3) * torch.tensor([5.0, 2.0, 0.1])
    directions = top(scattered(wide), 2)
    assert torch.allclose(directions[0].abs().flip(1), torch.eye(3).double()[:, :2], atol=0.1)
    assert captured(scattered(wide), directions).item() == pytest.approx(29 / 29.01, abs=1e-2)
    few = top(scattered(wide[:2]), 5)[0]
    assert int(few.any(dim=0).sum()) == 1  # two samples vary in one direction


def test_rotation_and_permutation_change_nothing() -> None:
    base, new = draw() + 0.5, draw(seed=1) + 0.3
    found, turn = agreement(base, new), rotation()
    close(agreement(base @ turn, new @ turn), found)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    turned = agreement(base[order], new.flip(0))
    close(turned, found, own_base=turned.own_base, own_new=turned.own_new)  # other halves


def test_scaling_changes_magnitudes_alone() -> None:
    base, new = draw() + 0.5, draw(seed=1) + 0.3
    found = agreement(base, new)
    sizes = {
        "base_magnitude": 3 * found.base_magnitude,
        "new_magnitude": 3 * found.new_magnitude,
    }
    close(agreement(3 * base, 3 * new), found, **sizes)
    twice = {"new_magnitude": 2 * found.new_magnitude, "magnitude_ratio": 2 * found.magnitude_ratio}
    close(agreement(base, 2 * new), found, **twice)


def test_swapping_the_groups_swaps_the_numbers() -> None:
    base, new = draw() + 0.5, draw(seed=1) + 0.3
    there, back = agreement(base, new), agreement(new, base)
    assert there.mean_cosine == pytest.approx(back.mean_cosine)
    assert there.new_to_base == pytest.approx(back.base_to_new)
    assert there.shared_new == pytest.approx(back.shared_base)
    assert there.magnitude_ratio == pytest.approx(1 / back.magnitude_ratio)


def test_of_pure_noise_nothing_agrees_with_itself() -> None:
    """In-sample, 100 images of noise in 64 dimensions give 0.10 for a cosine and a coherence."""
    n, d, k, times = 100, 64, 5, 60
    found = [vars(agreement(draw(n, d, 2 * i), draw(n, d, 2 * i + 1), k)) for i in range(times)]
    mean = {name: sum(each[name] for each in found) / times for name in found[0]}
    for name in ("base_to_base", "new_to_new", "new_to_base", "mean_cosine"):
        assert mean[name] == pytest.approx(0, abs=0.02), name
    for name in ("own_base", "own_new", "shared_base", "shared_new", "subspace"):
        assert mean[name] == pytest.approx(k / d, abs=0.01), name
    assert mean["base_coherence"] < 0.06  # of a root that is cut at 0; of the plain mean it is 0.10


def test_own_terms_leave_the_image_out() -> None:
    x = draw(7, 4) + 0.5
    others = [torch.cat([x[:i], x[i + 1 :]]).mean(dim=0) for i in range(7)]
    cosines = [F.cosine_similarity(x[i], others[i], dim=0).item() for i in range(7)]
    found = agreement(x, draw(5, 4, 1))
    assert found.base_to_base == pytest.approx(sum(cosines) / 7)
    pairs = [(x[i] @ x[j]).item() for i in range(7) for j in range(7) if i != j]
    assert found.base_coherence == pytest.approx(
        math.sqrt(sum(pairs) / 42) / x.norm(dim=1).mean().item()
    )


def test_own_directions_are_those_of_the_other_half() -> None:
    x, k = draw(40, 6) * torch.arange(1, 7), 2
    halves = [scattered(x[own]) for own in (first_half(40), ~first_half(40))]
    expected = [captured(halves[i], top(halves[1 - i], k)).item() for i in (0, 1)]
    assert agreement(x, x, k).own_new == pytest.approx(sum(expected) / 2)


def test_weights_count_images() -> None:
    """A resample is the sample in which images stand as often; for what leaves an image out, all
    of its copies are left out."""
    base, new = draw(12, 4) + 0.3, draw(9, 4, 1) + 0.3
    weights = torch.tensor([[2.0, 0, 1] * 4, [1.0] * 12]).double(), torch.ones(2, 9).double()
    found = agreements(base, new, *weights, k=2)
    copied = vars(agreement(base.repeat_interleave(weights[0][0].long(), dim=0), new, k=2))
    for name in ("mean_cosine", "new_to_base", "base_to_new", "base_magnitude", "shared_new"):
        assert found[name][0].item() == pytest.approx(copied[name]), name
    assert found["base_to_base"][0] < copied["base_to_base"]
    once = vars(agreement(base, new, k=2))
    assert {name: values[1].item() for name, values in found.items()} == pytest.approx(once)


def test_few_directions_are_enough_for_a_resample() -> None:
    spread = torch.arange(1, 49) ** -1.0
    base, new = draw(200, 48) * spread + 0.2, draw(150, 48, 1) * spread + 0.2
    rng = torch.Generator().manual_seed(3)
    weights = [torch.randint(3, (4, n), generator=rng).double() for n in (200, 150)]
    exact, fast = (agreements(base, new, *weights, most=most) for most in (0, 32))
    for name, values in exact.items():
        assert torch.allclose(values, fast[name], atol=5e-3), name


def test_too_few_images_have_no_number() -> None:
    one = agreement(draw(1), draw(20, seed=1))
    assert math.isnan(one.base_to_base) and math.isnan(one.base_coherence)
    assert math.isnan(one.shared_new) and math.isnan(one.own_base)
    assert one.mean_cosine == one.mean_cosine and one.new_to_new == one.new_to_new
