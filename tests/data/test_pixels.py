"""The test transform, pixel by pixel: against plain PIL and torchvision, and frozen checksums."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from promptbench.data.images import transforms
from promptbench.models.preprocess import Preprocess
from promptbench.support.compat import torchvision_functional
from tests.data.toy import encoded, entered

CLIP = Preprocess(224, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def waves(width: int, height: int) -> Image.Image:
    """A picture with fine and coarse structure in every channel, the same on every machine."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    channels = [(x * x // 7 + y * k + x * y // (11 + k)) % 256 for k in (3, 5, 8)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def palette() -> bytes:
    return encoded(waves(301, 257).quantize(64, dither=Image.Dither.NONE), "PNG")


def alpha() -> bytes:
    image = waves(260, 240)
    image.putalpha(waves(260, 240).getchannel(0))
    return encoded(image, "PNG")


def gray() -> bytes:
    return encoded(waves(333, 250).getchannel(1), "PNG")


def cmyk() -> bytes:
    return encoded(waves(280, 300).convert("CMYK"), "JPEG", quality=90)


def turned() -> bytes:
    """A JPEG with an EXIF orientation: the field's loaders do not turn pictures, nor do we."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(waves(320, 240), "JPEG", quality=95, exif=exif)


def bilevel() -> bytes:
    return encoded(waves(256, 300).convert("1", dither=Image.Dither.NONE), "PNG")


def tall() -> bytes:
    return encoded(waves(60, 900), "PNG")


def wide() -> bytes:
    return encoded(waves(1001, 77), "PNG")


def exact() -> bytes:
    return encoded(waves(224, 224), "PNG")


def odd() -> bytes:
    return encoded(waves(225, 500), "JPEG", quality=75)


def pixel() -> bytes:
    return encoded(waves(1, 1), "PNG")


# The first 16 digits of SHA-256 over the float32 tensors' bytes.
CHECKSUMS: dict[Callable[[], bytes], str] = {
    palette: "195ff4fb3b6c85a8",
    alpha: "beb1dd720ac9ba46",
    gray: "38dbfe17150e9918",
    bilevel: "9d68416af0f59918",
    tall: "355da8d1fb4d3d9f",
    wide: "e3f485afdc98ce3b",
    exact: "96f12a311ca4853a",
    pixel: "234f683044b9f0c3",
    cmyk: "8582634e5095e1e6",
    turned: "095385c0687922fb",
    odd: "e04f6a477191be11",
}


def reference(data: bytes) -> torch.Tensor:
    """The field's transform, written with PIL and torchvision alone."""
    f = torchvision_functional()
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image = f.resize(image, 224, f.InterpolationMode.BICUBIC)
    pixels = f.to_tensor(f.center_crop(image, 224))
    normalised: torch.Tensor = f.normalize(pixels, CLIP.mean, CLIP.std)
    return normalised


def ours(data: bytes) -> torch.Tensor:
    return entered(transforms.for_testing, transforms.decode(data), CLIP)


@pytest.mark.parametrize("picture", CHECKSUMS, ids=lambda picture: picture.__name__)
def test_every_bit_is_the_references(picture: Callable[[], bytes]) -> None:
    produced = ours(picture())
    assert produced.shape == (3, 224, 224) and produced.dtype == torch.float32
    assert produced.is_contiguous() and torch.equal(produced, reference(picture()))


@pytest.mark.parametrize(
    "picture", [p for p, s in CHECKSUMS.items() if s], ids=lambda p: p.__name__
)
def test_pixels_are_frozen(picture: Callable[[], bytes]) -> None:
    produced = hashlib.sha256(ours(picture()).numpy().tobytes()).hexdigest()
    assert produced[:16] == CHECKSUMS[picture]


def test_pictures_are_not_turned_and_palettes_not_blended() -> None:
    assert transforms.decode(turned()).size == (320, 240)
    colours = {color for _, color in transforms.decode(palette()).getcolors(1 << 20) or []}
    assert len(colours) <= 64


def test_the_training_crop_equals_torchvisions_of_the_same_box() -> None:
    f = torchvision_functional()
    image = waves(333, 250)
    rng = np.random.default_rng(5)
    produced = entered(
        transforms.for_training, image, CLIP, (0.08, 1.0), 0.0, np.random.default_rng(5)
    )
    top, left, height, width = transforms.crop_box(250, 333, (0.08, 1.0), rng)
    box = (left, top, left + width, top + height)
    resized = image.crop(box).resize((224, 224), Image.Resampling.BICUBIC)
    expected = f.normalize(f.to_tensor(resized), CLIP.mean, CLIP.std)
    assert torch.equal(produced, expected)
    flipped = entered(
        transforms.for_training, image, CLIP, (0.08, 1.0), 1.0, np.random.default_rng(5)
    )
    assert torch.equal(flipped, expected.flip(-1))


def test_training_pixels_do_not_depend_on_pillows_version() -> None:
    """Of this tall crop, Pillow 12.1 and 13 make different pixels where it is resized in one call.

    The checksum was taken with Pillow 12.1.1, in one call.
    """
    rng = np.random.default_rng(10)
    pixels = entered(transforms.for_training, waves(333, 500), CLIP, (0.08, 1.0), 0.0, rng)
    assert hashlib.sha256(pixels.numpy().tobytes()).hexdigest()[:16] == "e0f025ce747f22eb"
