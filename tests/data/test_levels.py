"""Levels of 8 bits: normalised by a table, bit for bit as numbers are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptbench.data.images.levels import normalised, stacked
from promptbench.data.loader import Batch
from promptbench.models.preprocess import OPENAI_MEAN, OPENAI_STD, Preprocess
from promptbench.support.compat import torchvision_functional

HALF = (0.5, 0.5, 0.5)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WAYS = [(OPENAI_MEAN, OPENAI_STD), IMAGENET, (HALF, HALF), ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))]
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]


def all_levels() -> torch.Tensor:
    """An image [3, 16, 16] of which each channel has every level."""
    levels = np.stack([np.random.default_rng(c).permutation(256) for c in range(3)])
    return torch.from_numpy(levels.astype(np.uint8).reshape(3, 16, 16))


def theirs(levels: torch.Tensor, target: Preprocess) -> torch.Tensor:
    """torchvision's to_tensor and normalize, of the same pixels."""
    f = torchvision_functional()
    return f.normalize(f.to_tensor(levels.permute(1, 2, 0).numpy()), target.mean, target.std)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("mean", "std"), WAYS)
def test_every_level_of_every_channel_is_what_torchvision_makes_of_it(
    mean: tuple[float, float, float], std: tuple[float, float, float], device: str
) -> None:
    target, levels = Preprocess(16, mean, std), all_levels()
    found = normalised(levels[None].to(device), target)
    expected = theirs(levels, target)[None]
    assert found.dtype == torch.float32 and found.is_contiguous()
    assert torch.equal(found.cpu(), expected)
    for dtype in (torch.bfloat16, torch.float16):  # what follows from equal numbers
        assert torch.equal(found.cpu().to(dtype), expected.to(dtype))


@given(st.tuples(*[st.floats(0, 1)] * 3), st.tuples(*[st.floats(1e-3, 2)] * 3))
def test_of_any_mean_and_std(
    mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    target, levels = Preprocess(16, mean, std), all_levels()
    assert torch.equal(normalised(levels, target), theirs(levels, target))


def test_of_any_number_of_views() -> None:
    levels = torch.randint(0, 256, (2, 5, 3, 4, 6), dtype=torch.uint8)
    target = Preprocess(4)
    found = normalised(levels, target)
    assert found.shape == levels.shape
    assert torch.equal(found[1, 4], normalised(levels[1, 4], target))


def test_a_batch_has_its_images_in_order_in_memory() -> None:
    """Those of Pillow lie with their channels last; what a convolution does hangs on it."""
    images = [np.random.default_rng(i).integers(0, 256, (4, 5, 3), np.uint8) for i in range(2)]
    made = stacked([image.transpose(2, 0, 1) for image in images])
    assert made.is_contiguous() and made.shape == (2, 3, 4, 5)
    assert torch.equal(made[1].permute(1, 2, 0), torch.from_numpy(images[1]))


def test_a_batch_without_a_table_is_normalised_already() -> None:
    images = torch.randn(2, 3, 4, 4)
    assert Batch(images, torch.zeros(2), ("a", "b")).images is images
