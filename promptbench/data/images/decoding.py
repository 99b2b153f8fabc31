"""How an encoded image becomes RGB: one way for preparing, verifying, contact sheets and runs.

Images of 8 bits a channel become what Pillow's `convert("RGB")` makes of them, as in the field's
own loaders: of an animation its first frame; transparency is dropped, not blended; an EXIF
orientation is not applied. Pillow itself reads colour images of 16 bits as 8. Grey ones of more
than 8 bits, which it would clip to white, are scaled by their range. Integers and floats whose
range no header says are refused: to guess it would change what the images show.
"""

from __future__ import annotations

import functools
import io
from typing import Any, NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from promptbench.data.images.formats import RefusedImage, extension_of

_EIGHT_BITS = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"}) | {
    *("CMYK", "YCbCr", "LAB", "HSV"),
}
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
_WHITE_IS_ZERO = 0


class Deep(NamedTuple):
    """Grey values [height, width] from 0, black, to `top`, white."""

    levels: NDArray[Any]
    top: int


def decode(data: bytes) -> Image.Image:
    """An RGB image; converted before any resize, as palettes and alpha do not interpolate.

    Raises:
        Refused: not a format or a mode that is taken.
        pictures.BROKEN: it cannot be decoded to its end.
    """
    with opened(data) as image:
        return to_rgb(image)


def opened(data: bytes) -> Image.Image:
    """An image of which the header has been read, and found to be one that `to_rgb` takes.

    Raises:
        Refused: not a format or a mode that is taken.
        pictures.BROKEN: its header is damaged.
    """
    extension = extension_of(data)
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise RefusedImage(
            f"it begins as {extension}, but Pillow {PIL.__version__} cannot read it: it is damaged "
            "or cut off, or of a kind that is not supported (2 or 13 channels, say); replace it"
        ) from error
    if not is_deep(image) and image.mode not in _EIGHT_BITS:
        image.close()
        kind = "floats" if image.mode == "F" else "32-bit or signed integers"
        raise RefusedImage(
            f"its pixels are {kind} (mode {image.mode}), whose black and white no header says; "
            "save it with 8 bits, or as unsigned 16-bit grey over the whole range"
        )
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """The RGB image of one that `opened` gave."""
    deep = deep_of(image)
    if deep is None:
        return image.convert("RGB")
    return Image.fromarray(_scale(deep.top)[deep.levels]).convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether an image is grey and has more than 8 bits, from its header."""
    return _top(image) is not None


def deep_of(image: Image.Image) -> Deep | None:
    """The values of a grey image of more than 8 bits; None if it has 8."""
    top = _top(image)
    if top is None:
        return None
    levels = np.minimum(np.asarray(image), top)
    white_is_zero = _tag(image, _PHOTOMETRIC, 1) == _WHITE_IS_ZERO  # Pillow inverts 8 bits only
    return Deep(top - levels if white_is_zero else levels, top)


def _top(image: Image.Image) -> int | None:
    """The value of white in a grey image of more than 8 bits; None of others.

    Pillow reads 16-bit PGM, and before 11.0 such PNGs too, into its 32-bit mode, scaled to 65535.
    """
    if image.mode.startswith("I;16"):
        return (1 << _tag(image, _BITS_PER_SAMPLE, 16)) - 1
    if image.mode == "I" and image.format in ("PPM", "PNG"):
        return 65535
    return None


def _tag(image: Image.Image, tag: int, default: int) -> int:
    """A tag of a TIFF; the default of other formats."""
    value = getattr(image, "tag_v2", {}).get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


@functools.cache
def _scale(top: int) -> NDArray[np.uint8]:
    """What each value from 0 to `top` becomes: value / top * 255, rounded."""
    values = np.arange(top + 1, dtype=np.int64)
    return ((510 * values + top) // (2 * top)).astype(np.uint8)
