"""Transforms: the test transform against its definition, the training crop against torchvision."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from promptbench.data.images import transforms
from promptbench.models.preprocess import Interpolation, ResizeMode
from promptbench.support.compat import import_open_clip, torchvision_functional
from tests.data.toy import entered


@dataclass(frozen=True)
class Target:
    size: int = 32
    mean: tuple[float, float, float] = (0.5, 0.4, 0.3)
    std: tuple[float, float, float] = (0.2, 0.25, 0.3)
    interpolation: Interpolation = "bicubic"
    resize_mode: ResizeMode = "shortest"
    fill_color: int = 0


def picture(width: int = 57, height: int = 41, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def test_testing_resizes_the_shorter_side_and_crops_the_centre() -> None:
    image, target = picture(), Target()
    resized = image.resize((int(32 * 57 / 41), 32), Image.Resampling.BICUBIC)
    left = round((resized.width - 32) / 2)
    expected = np.asarray(resized.crop((left, 0, left + 32, 32)), dtype=np.float32) / 255
    expected = (expected - np.float32(target.mean)) / np.float32(target.std)
    produced = entered(transforms.for_testing, image, target)
    assert torch.allclose(produced, torch.from_numpy(expected).permute(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("sides", [(57, 41), (41, 57), (20, 90), (32, 32), (9, 7), (200, 4)])
@pytest.mark.parametrize("fill_color", [0, 127])
def test_testing_is_open_clips_transform(
    interpolation: Interpolation, resize_mode: ResizeMode, sides: tuple[int, int], fill_color: int
) -> None:
    target = Target(interpolation=interpolation, resize_mode=resize_mode, fill_color=fill_color)
    theirs = import_open_clip().transform.image_transform(
        target.size,
        is_train=False,
        mean=target.mean,
        std=target.std,
        interpolation=interpolation,
        resize_mode=resize_mode,
        fill_color=fill_color,
    )
    image = picture(*sides)
    assert torch.equal(entered(transforms.for_testing, image, target), theirs(image))


def test_an_image_thinner_than_a_pixel_keeps_one() -> None:
    """Where open_clip's transform fails: it asks for an image without pixels."""
    target = Target(resize_mode="longest")
    tested = entered(transforms.for_testing, picture(300, 2), target)
    mean, std = torch.tensor(target.mean), torch.tensor(target.std)
    rows = ((tested * std[:, None, None] + mean[:, None, None]) > 0.01).any(2).all(0)
    assert tested.shape == (3, 32, 32) and rows.nonzero().flatten().tolist() == [15]


def test_training_crops_are_resized_with_the_weights_own_kernel() -> None:
    def crop(interpolation: Interpolation) -> torch.Tensor:
        rng = np.random.default_rng(0)
        target = Target(interpolation=interpolation)
        return entered(transforms.for_training, picture(), target, (1.0, 1.0), 0.0, rng)

    found = crop("bilinear")
    assert not torch.equal(found, crop("bicubic"))
    drawn = transforms.draw(41, 57, (1.0, 1.0), 0.0, np.random.default_rng(0))
    image = picture().crop((drawn.left, drawn.top, drawn.right, drawn.bottom))
    for size in ((32, image.height), (32, 32)):
        image = image.resize(size, Image.Resampling.BILINEAR)
    whole = Target(size=32)  # an image of the right size is only normalised
    assert torch.equal(found, entered(transforms.for_testing, image, whole))


def test_palette_and_alpha_become_rgb_before_resizing() -> None:
    for mode in ("P", "RGBA", "L", "1"):
        data = io.BytesIO()
        picture(mode=mode).save(data, "PNG")
        assert transforms.decode(data.getvalue()).mode == "RGB"


@given(st.integers(1, 400), st.integers(1, 400), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_crop_lies_inside(height: int, width: int, least: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    top, left, h, w = transforms.crop_box(height, width, (least, 1.0), rng)
    assert 0 <= top <= top + h <= height and 0 <= left <= left + w <= width
    assert h > 0 and w > 0


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [(12, 900, (0, 442, 12, 16)), (900, 12, (442, 0, 16, 12)), (1, 900, (0, 449, 1, 1))],
)
def test_where_no_crop_fits_the_middle_is_taken(
    height: int, width: int, box: tuple[int, int, int, int]
) -> None:
    """Of a strip: as long as the ratio allows (4/3 or 3/4), as torchvision's fallback."""
    rng = np.random.default_rng(0)
    assert transforms.crop_box(height, width, (0.9, 1.0), rng) == box
    torchvision_functional()
    from torchvision.transforms import RandomResizedCrop

    image = torch.zeros(3, height, width)
    assert RandomResizedCrop.get_params(image, [0.9, 1.0], [3 / 4, 4 / 3]) == box


def test_crop_is_distributed_as_torchvisions() -> None:
    torchvision_functional()
    from torchvision.transforms import RandomResizedCrop

    draws, image = 4000, torch.zeros(3, 60, 80)
    torch.manual_seed(0)
    theirs = [
        RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(draws)
    ]
    rng = np.random.default_rng(0)
    ours = [transforms.crop_box(60, 80, (0.08, 1.0), rng) for _ in range(draws)]
    gap = np.abs(np.mean(ours, axis=0) - np.mean(theirs, axis=0))
    spread = np.std(theirs, axis=0) / np.sqrt(draws)
    assert (gap < 5 * np.sqrt(2) * spread).all()


def test_training_depends_on_its_generator_alone() -> None:
    def draw(seed: int) -> torch.Tensor:
        rng = np.random.default_rng(seed)
        return entered(transforms.for_training, picture(), Target(), (0.08, 1.0), 0.5, rng)

    torch.manual_seed(1)
    first = draw(3)
    torch.manual_seed(2)
    assert torch.equal(first, draw(3))
    assert not torch.equal(first, draw(4))
    assert first.shape == (3, 32, 32)
