"""Resampling as tensor operations: every bit is Pillow's, one axis after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from promptbench.data.images import resampling
from promptbench.models.preprocess import Interpolation
from promptbench.support.transfer import sent_together

SIDES = st.integers(1, 700)


def picture(height: int, width: int, seed: int, contrast: bool) -> NDArray[np.uint8]:
    """Noise; with contrast black and white alone, which overshoots the most."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.where(noise > 127, 255, 0).astype(np.uint8) if contrast else noise


def pillows(
    pixels: NDArray[np.uint8], size: int, kernel: Interpolation = "bicubic"
) -> torch.Tensor:
    """Across, then down, a call each: in one call Pillow's order depends on its version."""
    image = Image.fromarray(pixels)
    for target in ((size, image.height), (size, size)):
        image = image.resize(target, Image.Resampling[kernel.upper()])
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def ours(
    pixels: torch.Tensor, size: int, mirrored: bool = False, kernel: Interpolation = "bicubic"
) -> torch.Tensor:
    sides = (pixels.shape[2], pixels.shape[1])
    across, down = (resampling.bands(length, size, kernel) for length in sides)
    across = across[..., :: -1 if mirrored else 1]
    return resampling.resampled(pixels, *sent_together([across, down], pixels.device))


def tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)


@settings(max_examples=150)
@given(SIDES, SIDES, st.integers(1, 300), st.integers(0, 2**32), st.booleans())
@example(1, 1, 224, 0, True)
@example(224, 224, 224, 0, False)
@example(224, 500, 224, 0, True)
@example(700, 3, 7, 0, True)
@example(300, 250, 224, 0, True)
def test_every_bit_is_pillows(
    height: int, width: int, size: int, seed: int, contrast: bool
) -> None:
    pixels = picture(height, width, seed, contrast)
    assert torch.equal(ours(tensor(pixels), size), pillows(pixels, size))


@settings(max_examples=100)
@given(SIDES, SIDES, st.integers(1, 300), st.integers(0, 2**32))
@example(1, 1, 224, 0)
@example(700, 3, 7, 0)
def test_every_bit_of_the_bilinear_kernel_is_pillows(
    height: int, width: int, size: int, seed: int
) -> None:
    pixels = picture(height, width, seed, contrast=False)
    made = ours(tensor(pixels), size, kernel="bilinear")
    assert torch.equal(made, pillows(pixels, size, "bilinear"))


@settings(max_examples=30)
@given(st.data(), SIDES, SIDES)
def test_a_box_is_resampled_as_if_it_were_the_image(
    data: st.DataObject, height: int, width: int
) -> None:
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom = data.draw(st.integers(top + 1, height))
    right = data.draw(st.integers(left + 1, width))
    pixels = picture(height, width, 0, True)
    cut = ours(tensor(pixels)[:, top:bottom, left:right], 64)
    assert torch.equal(cut, pillows(pixels[top:bottom, left:right], 64))


def test_a_large_picture_is_resampled_in_parts() -> None:
    pixels = picture(1900, 1200, 1, True)
    band = resampling.bands(1200, 224)
    assert 1900 * 3 * band[0].size > resampling._PRODUCTS
    assert torch.equal(ours(tensor(pixels), 224), pillows(pixels, 224))


def test_reversed_bands_mirror() -> None:
    pixels = picture(50, 90, 2, False)
    mirrored = ours(tensor(pixels), 64, mirrored=True)
    assert torch.equal(mirrored, pillows(pixels, 64).flip(-1))


def test_bands_are_shared_and_protected() -> None:
    band = resampling.bands(50, 20)
    assert band is resampling.bands(50, 20) and band.dtype == np.int32
    assert (np.abs(band[1].sum(0) - 2**22) <= band.shape[1]).all()  # weights add up to 1
    with pytest.raises(ValueError, match="read-only"):
        band[0, 0, 0] = 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_every_bit_is_pillows_on_a_gpu() -> None:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        height, width, size = (int(side) for side in rng.integers(1, 700, 3))
        pixels = picture(height, width, seed, contrast=bool(seed % 2))
        assert torch.equal(ours(tensor(pixels).cuda(), size).cpu(), pillows(pixels, size))
