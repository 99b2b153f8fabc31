"""The coupled prompt field: closed forms and invariances."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from promptbench.analysis.attention import AttentionSums
from promptbench.analysis.field import (
    Agreement,
    agreement,
    captured,
    field_of,
    per_class,
    principal,
    principal_cosines,
)
from promptbench.analysis.sweep import Sweep
from promptbench.observing.norms import NormSums
from promptbench.protocol import Target


def draw(n: int = 50, d: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(d: int = 8) -> Tensor:
    return torch.linalg.qr(draw(d, d, seed=9))[0]


def swept(tuned: Tensor, frozen: Tensor, labels: Tensor | None = None) -> Sweep:
    return Sweep(
        target=Target("x", "base", "none"),
        classes=("a", "b"),
        features={"cls": tuned},
        frozen=frozen,
        labels=torch.zeros(len(tuned), dtype=torch.long) if labels is None else labels,
        norms=NormSums(),
        attention=AttentionSums(),
        edited=True,
    )


def close(a: Agreement, b: Agreement, **other: float) -> None:
    expected = vars(b) | other
    assert vars(a) == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_the_same_field_agrees_wholly() -> None:
    delta = draw() + 1
    found = agreement(delta, delta.clone(), k=3)
    assert found.mean_cosine == pytest.approx(1) and found.magnitude_ratio == pytest.approx(1)
    assert found.subspace == pytest.approx(1) and found.shared_new == pytest.approx(found.own_new)
    assert found.new_to_base == pytest.approx(found.base_to_base)


def test_a_constant_shift() -> None:
    shift = torch.tensor([3.0, 4.0, 0.0, 0.0], dtype=torch.float64)
    found = agreement(shift.expand(6, 4), -2 * shift.expand(5, 4))
    assert found.mean_cosine == found.new_to_base == pytest.approx(-1)
    assert (found.base_magnitude, found.new_magnitude) == pytest.approx((5, 10))
    assert found.magnitude_ratio == pytest.approx(2)
    assert math.isnan(found.shared_new) and math.isnan(found.subspace)  # nothing varies


def test_fields_in_orthogonal_directions_share_nothing() -> None:
    base, new = torch.zeros(40, 8).double(), torch.zeros(40, 8).double()
    base[:, :3], new[:, 3:6] = draw(40, 3), draw(40, 3, seed=1)
    found = agreement(base, new, k=3)
    assert (found.shared_new, found.shared_base) == pytest.approx((0, 0), abs=1e-12)
    assert (found.own_new, found.own_base) == pytest.approx((1, 1))
    assert found.subspace == pytest.approx(0, abs=1e-12) and found.chance == 3 / 8
    assert found.mean_cosine == pytest.approx(0, abs=1e-12)


def test_a_known_angle_between_subspaces() -> None:
    angle = 0.3
    a = torch.eye(4).double()[:, :2]
    b = a.clone()
    b[:, 1] = torch.tensor([0.0, math.cos(angle), math.sin(angle), 0.0])
    assert principal_cosines(a, b).tolist() == pytest.approx([1, math.cos(angle)])
    spread = torch.diag(torch.tensor([2.0, 1.0, 1.0, 0.0])).double()
    spread = torch.cat([spread, -spread])  # variances 4 : 1 : 1, mean zero
    assert captured(spread, a) == pytest.approx(5 / 6)
    assert captured(spread, b) == pytest.approx(
        (4 + math.cos(angle) ** 2 + math.sin(angle) ** 2) / 6
    )


def test_directions_of_most_variance() -> None:
    wide = draw(500, 3) * torch.tensor([5.0, 2.0, 0.1])
    top, share = principal(wide, 2)
    assert torch.allclose(top.abs(), torch.eye(3).double()[:, :2], atol=0.1)
    assert share == pytest.approx(29 / 29.01, abs=1e-2)
    few, _ = principal(wide[:2], 5)
    assert few.shape[1] == 1  # two samples vary in one direction


def test_rotation_and_permutation_change_nothing() -> None:
    base, new = draw() + 0.5, draw(seed=1) + 0.3
    found, turn = agreement(base, new), rotation()
    close(agreement(base @ turn, new @ turn), found)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    close(agreement(base[order], new.flip(0)), found)


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


def test_the_field_of_unit_features_does_not_see_their_scale() -> None:
    tuned, frozen = draw().float(), draw(seed=1).float()
    scales = torch.rand(50, 1) + 0.5
    plain, scaled = swept(tuned, frozen), swept(tuned * scales, frozen * 2)
    assert torch.allclose(
        field_of(plain, "cls", "unit"), field_of(scaled, "cls", "unit"), atol=1e-6
    )
    assert torch.allclose(field_of(plain, "cls", "raw"), tuned.double() - frozen.double())
    assert not torch.allclose(field_of(plain, "cls", "raw"), field_of(scaled, "cls", "raw"))


def test_no_change_is_no_field() -> None:
    x = draw().float()
    found = agreement(*[field_of(swept(x, x), "cls", "unit")] * 2)
    assert math.isnan(found.mean_cosine) and math.isnan(found.magnitude_ratio)
    assert found.base_magnitude == 0


def test_classes_one_by_one() -> None:
    frozen = torch.zeros(4, 2) + torch.tensor([0.0, 1.0])
    tuned = frozen + torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    own = swept(tuned, frozen, torch.tensor([0, 0, 1, 1]))
    other = swept(frozen + torch.tensor([3.0, 0.0]), frozen)
    found = {(i, q): v for part, i, q, v in per_class(own, other) if part == "cls/raw"}
    assert found["a", "cosine_to_other_group"] == pytest.approx(1)
    assert found["b", "cosine_to_other_group"] == pytest.approx(0)
    assert found["a", "cosine_to_own_group"] == pytest.approx(0)
    assert found["b", "magnitude"] == pytest.approx(2)
