"""Encoded images on their way into shards and out of them: looked at, made smaller, decoded."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from promptbench.data.images import decoding
from promptbench.data.shards.shards import Item
from promptbench.errors import UserError
from promptbench.support.compat import torchvision_functional

BROKEN = (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)
_QUALITY = 95
_DIGITS = 32  # of the hash that identifies an image


@dataclass(frozen=True, slots=True)
class Picture:
    """What an image shows, as far as a survey of its dataset wants to know.

    `identity`: equal for images with the same pixels. `deepest`: the largest value of a grey image
    of more than 8 bits, as a share of its range, else None. `flat`: the colour of an image that
    has only one.
    """

    identity: str
    deepest: float | None = None
    flat: tuple[int, int, int] | None = None


def look(data: bytes) -> Picture:
    """Decode an image to its end, as a run would; raises one of `BROKEN` if it cannot."""
    with decoding.opened(data) as image:
        deep = _deepest(image)
        pixels = np.asarray(decoding.to_rgb(image))
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.data)
    return Picture(digest.hexdigest()[:_DIGITS], deep, _flat(pixels))


def _flat(pixels: NDArray[np.uint8]) -> tuple[int, int, int] | None:
    """The colour that all pixels have; a look at one line is enough for most images."""
    first = pixels[0, 0]
    if (pixels[0] != first).any() or (pixels != first).any():
        return None
    return int(first[0]), int(first[1]), int(first[2])


def deepest(data: bytes) -> float | None:
    """`Look.deepest` of an image; one of 8 bits is not decoded."""
    with decoding.opened(data) as image:
        return _deepest(image)


def _deepest(image: Image.Image) -> float | None:
    deep = decoding.deep_of(image)
    return None if deep is None else float(deep.levels.max()) / deep.top


def glance(data: bytes) -> Picture:
    """Read the header of an image only, so that its bytes identify it, and a deep one counts as
    using its whole range; raises one of `BROKEN` if it cannot."""
    with decoding.opened(data) as image:
        deepest = 1.0 if decoding.is_deep(image) else None
    return Picture(hashlib.sha256(data).hexdigest()[:_DIGITS], deepest)


def decoded(item: Item) -> Image.Image:
    """The RGB image of a sample.

    Raises:
        UserError: it cannot be decoded.
    """
    try:
        return decoding.decode(item.image)
    except BROKEN as error:
        raise UserError(
            f"sample {item.key} of shard {item.shard} cannot be decoded: {error}"
        ) from error


def fitted(image: Image.Image, side: int) -> Image.Image:
    """Return an image with its longer side at `side` pixels, to be looked at; a small one is
    enlarged without smoothing, so that its pixels can be seen."""
    scale = side / max(image.size)
    method = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BICUBIC
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, method)


def shrunk(data: bytes, short: int) -> bytes:
    """The image with its shorter side at `short` pixels (bicubic), as JPEG of quality 95, 4:4:4.

    An image that is not larger stays as it is, byte for byte.
    """
    f = torchvision_functional()
    with decoding.opened(data) as image:
        if min(image.size) <= short:
            image.load()
            return data
        small = f.resize(decoding.to_rgb(image), short, f.InterpolationMode.BICUBIC)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()
