"""Attention written out: the block's own, and what is summed of it."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from promptbench.analysis.attention import AttentionSums, entropy
from promptbench.models import edits
from promptbench.models.towers import Capture, Towers, View
from promptbench.running.observing.passes import Role, Seen
from tests.golden_set import SALT, tinyclip, towers


@pytest.fixture
def clip() -> Towers:
    chosen = towers("tiny64")
    chosen.forget()
    return chosen


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize("number", [1, 5, 12])
def test_the_weights_give_back_what_the_block_computed(clip: Towers, number: int) -> None:
    images = tinyclip.images(SALT, 3)
    prompts = torch.randn(4, clip.image.width, generator=torch.Generator().manual_seed(0))
    capture = Capture([number])
    entering: list[Tensor] = []

    def noting(sequence: Tensor) -> Tensor:
        entering.append(sequence)
        return sequence

    table = {number: noting, 3: partial(edits.insert, tokens=prompts)}
    clip.image.run(clip.image.tokens(images), table, capture)
    view = clip.image.view(number, entering[0])
    close(view.attended, capture.attention[number], 1e-5)
    close(view.output, capture.outputs[number], 1e-5)
    assert torch.allclose(view.weights.sum(dim=-1), torch.ones(()))


def test_in_half_precision_the_weights_are_those_of_the_kernel(clip: Towers) -> None:
    x = torch.randn(2, 20, clip.image.width, generator=torch.Generator().manual_seed(1))
    tokens = clip.image.tokens(tinyclip.images(SALT, 2))
    capture = Capture([12])
    with torch.autocast("cpu", torch.bfloat16):
        x = x.to(torch.bfloat16)
        clip.image.run(tokens, {12: lambda _: x}, capture)
        view = clip.image.view(12, x)
    assert view.weights.dtype == torch.float32
    close(view.attended.float(), capture.attention[12].float(), 2e-2)


def test_a_causal_block_looks_back_alone(clip: Towers) -> None:
    x = torch.randn(2, 6, clip.text.width, generator=torch.Generator().manual_seed(2))
    weights = clip.text.view(1, x).weights
    assert torch.equal(weights, weights.tril())


def seen(weights: Tensor, roles: tuple[Role, ...]) -> Seen:
    nothing = torch.zeros(len(weights), len(roles), 1)
    return Seen(7, roles, View(nothing, nothing, weights))


def test_masses_entropy_and_saturation_of_known_rows() -> None:
    rows = torch.tensor([[0.5, 0.25, 0.25], [0.05, 0.95, 0.0], [0.0, 0.0, 1.0]])
    sums = AttentionSums()
    sums.add(seen(rows.view(1, 1, 3, 3), ("cls", "prompt", "patch")))
    found = {(group, what): value for group, block, what, value in sums.numbers() if block == 7}
    assert found["cls", "to_cls"] == pytest.approx(0.5)
    assert found["cls", "to_prompt"] == pytest.approx(0.25)
    assert found["prompt", "to_prompt"] == pytest.approx(0.95)
    assert found["cls", "entropy"] == pytest.approx(1.5 * math.log(2))
    assert found["cls", "relative_entropy"] == pytest.approx(1.5 * math.log(2) / math.log(3))
    assert found["patch", "entropy"] == 0
    assert [found[g, "saturated"] for g in ("cls", "prompt", "patch")] == [0, 1, 1]


def test_means_are_over_images_heads_and_queries() -> None:
    weights = torch.rand(3, 2, 5, 5, generator=torch.Generator().manual_seed(0)).softmax(dim=-1)
    roles: tuple[Role, ...] = ("cls", "prompt", "prompt", "patch", "patch")
    whole, parts = AttentionSums(), AttentionSums()
    whole.add(seen(weights, roles))
    parts.add(seen(weights[:1], roles))
    parts.add(seen(weights[1:], roles))
    found = {(g, q): v for g, _, q, v in whole.numbers()}
    assert found == pytest.approx({(g, q): v for g, _, q, v in parts.numbers()})
    assert found["prompt", "to_patch"] == pytest.approx(
        float(weights[:, :, 1:3, 3:].sum(dim=-1).mean())
    )
    masses = [found["patch", f"to_{role}"] for role in ("cls", "prompt", "patch")]
    assert sum(masses) == pytest.approx(1)


def test_without_prompts_there_is_no_mass_on_them() -> None:
    sums = AttentionSums()
    sums.add(seen(torch.full((1, 1, 2, 2), 0.5), ("cls", "patch")))
    assert {q for _, _, q, _ in sums.numbers()} >= {"to_cls", "to_patch"}
    assert "to_prompt" not in {q for _, _, q, _ in sums.numbers()}


def test_even_attention_has_the_largest_entropy() -> None:
    assert float(entropy(torch.full((8,), 1 / 8))) == pytest.approx(math.log(8))
