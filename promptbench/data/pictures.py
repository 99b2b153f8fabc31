"""Encoded images: recognised by content, checked and perhaps made smaller for shards, decoded."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

from promptbench.compat import torchvision_functional
from promptbench.data import transforms
from promptbench.data.shards import Item
from promptbench.errors import UserError

BROKEN = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_MAGIC = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tif"),
    (b"MM\x00*", "tif"),
)
_QUALITY = 95


def extension_of(data: bytes) -> str:
    """What an image is, whatever its file is called (some data sets hide PNGs behind .jpg).

    Raises:
        ValueError: none of the formats that shards hold.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for magic, extension in _MAGIC:
        if data.startswith(magic):
            return extension
    raise ValueError(f"not an image that shards hold (it begins with {data[:8]!r})")


def check(data: bytes) -> None:
    """Decode an image to its end and throw the pixels away; raises one of `BROKEN` if it cannot."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (image.width // 8, image.height // 8))  # faster, as strict
        image.load()


def reason(error: Exception) -> str:
    """Why an image is broken, one of `BROKEN` in words."""
    if isinstance(error, UnidentifiedImageError):  # Pillow's own text shows the buffer's address
        return "no image that can be read, or only the beginning of one"
    return str(error)


def decoded(item: Item) -> Image.Image:
    """The RGB image of a sample.

    Raises:
        UserError: it cannot be decoded.
    """
    try:
        return transforms.decode(item.image)
    except BROKEN as error:
        raise UserError(
            f"sample {item.key} of shard {item.shard} cannot be decoded: {reason(error)}"
        ) from error


def shrunk(data: bytes, short: int) -> bytes:
    """The image with its shorter side at `short` pixels (bicubic), as JPEG of quality 95, 4:4:4.

    An image that is not larger stays as it is, byte for byte.
    """
    f = torchvision_functional()
    with Image.open(io.BytesIO(data)) as image:
        if min(image.size) <= short:
            image.load()
            return data
        small = f.resize(image.convert("RGB"), short, f.InterpolationMode.BICUBIC)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()
