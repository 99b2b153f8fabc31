"""Norm ratios of known activations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from promptbench.methods.alignednorm import token_norm_gap
from promptbench.models.towers import View
from promptbench.running.observing.norms import NormSums
from promptbench.running.observing.passes import Role, Seen

ROLES: tuple[Role, ...] = ("cls", "prompt", "prompt", "patch")


def seen(output: Tensor, roles: tuple[Role, ...] = ROLES) -> Seen:
    return Seen(6, roles, View(output, 2 * output, torch.zeros(1, 1, 1, 1)))


def numbers(sums: NormSums) -> dict[tuple[str, str], float]:
    return {(stage, quantity): value for stage, _, quantity, value in sums.numbers()}


def test_ratio_and_gap_of_known_norms() -> None:
    x = torch.zeros(2, 4, 3)
    x[:, 0, 0] = torch.tensor([3.0, 5.0])  # CLS: 4 on average
    x[:, 1, 1], x[:, 2, 1], x[:, 3, 2] = 2.0, 8.0, 1.0
    sums = NormSums()
    sums.add(seen(x))
    found = numbers(sums)
    assert found["output", "cls_norm"] == 4 and found["attention", "cls_norm"] == 8
    assert found["output", "prompt_norm"] == 5 and found["output", "patch_norm"] == 1
    assert found["output", "ratio"] == found["attention", "ratio"] == pytest.approx(1.25)
    assert found["output", "gap"] == pytest.approx((2 + 4) / 2 / 4)  # 1.25 hides a gap of 0.75


def test_batches_add_up_and_scaling_is_not_seen() -> None:
    x = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(0))
    whole, parts, scaled = NormSums(), NormSums(), NormSums()
    whole.add(seen(x))
    parts.add(seen(x[:2]))
    parts.add(seen(x[2:]))
    scaled.add(seen(3 * x))
    assert numbers(whole) == pytest.approx(numbers(parts))
    for quantity in ("ratio", "gap"):
        key = ("output", quantity)
        assert numbers(whole)[key] == pytest.approx(numbers(scaled)[key], rel=1e-5)


def test_the_mean_token_is_not_the_mean_norm() -> None:
    prompts = torch.tensor([[[2.0, 0.0], [-2.0, 0.0]]])
    sums = NormSums()
    sums.add_readout("projection", torch.tensor([[0.0, 1.0]]), prompts)
    found = numbers(sums)
    assert found["projection", "ratio"] == 2 and found["projection (mean)", "ratio"] == 0


def test_without_prompts_there_is_nothing_to_compare() -> None:
    sums = NormSums()
    sums.add(seen(torch.ones(1, 2, 3), ("cls", "patch")))
    sums.add_readout("ln_post", torch.ones(1, 3), torch.ones(1, 0, 3))
    assert not numbers(sums)


def test_the_gap_is_what_alignednorm_minimises() -> None:
    """mean_{i,k} |p_ik - c_i| of the method's own loss, from the same activations."""
    x = torch.randn(5, 4, 7, generator=torch.Generator().manual_seed(1))
    sums = NormSums()
    sums.add(seen(x))
    found = numbers(sums)
    loss = float(token_norm_gap([x], n_tokens=2))
    assert found["output", "gap"] * found["output", "cls_norm"] == pytest.approx(loss, rel=1e-5)
