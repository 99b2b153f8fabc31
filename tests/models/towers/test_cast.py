"""Towers in half precision: what is rounded, and how near to float32 they stay."""

from __future__ import annotations

import pytest
import torch

from promptbench.models import edits
from promptbench.models.towers import Capture, Towers
from promptbench.running.lab.calling import evaluating
from promptbench.running.lab.compute import Compute, Precision
from tests.golden_set import SALT, tinyclip, towers

TEXTS = ["a cat.", "a photo of a great white shark.", "dog"]
CPU = torch.device("cpu")


def own() -> Towers:
    """Towers that are not shared with other tests."""
    made: Towers = towers.__wrapped__("tiny64")
    return made


def features(clip: Towers, precision: Precision) -> list[torch.Tensor]:
    """Text and image features with tokens inserted on the way, float32."""
    compute, new = Compute(CPU, precision), torch.full((2, 64), 0.1)
    table = {3: lambda x: edits.insert(x, new)}
    images = tinyclip.images(SALT, 4)
    return [
        evaluating(compute, side.features, tokens, some).float()
        for side, tokens in (
            (clip.text, evaluating(compute, clip.text.tokens, TEXTS)),
            (clip.image, evaluating(compute, clip.image.tokens, images)),
        )
        for some in (None, table)
    ]


@pytest.mark.parametrize(("precision", "most"), [("bf16", 2e-2), ("fp16", 3e-3)])
def test_half_precision_stays_near_float32(precision: Precision, most: float) -> None:
    clip, half = own(), own()
    half.cast(Compute(CPU, precision).dtype)
    pairs = zip(features(half, precision), features(clip, "fp32"), strict=True)
    for ours, expected in pairs:
        assert (ours - expected).abs().max() <= most * expected.abs().max()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_what_flows_from_block_to_block_is_float32_in_both_towers(precision: Precision) -> None:
    clip, compute = own(), Compute(CPU, precision)
    clip.cast(compute.dtype)
    new, images = torch.full((2, 64), 0.1), tinyclip.images(SALT, 2)
    for side, tokens in (
        (clip.text, evaluating(compute, clip.text.tokens, TEXTS)),
        (clip.image, evaluating(compute, clip.image.tokens, images)),
    ):
        capture = Capture([4, 12])
        table = {3: lambda x: edits.insert(x, new)}
        read = evaluating(compute, side.run, tokens, table, capture)
        for stream in (tokens.embedded, read, *capture.outputs.values()):
            assert stream.dtype == torch.float32
        assert capture.attention[4].dtype == compute.dtype  # products are in half precision
