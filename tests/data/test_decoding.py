"""How encoded images become RGB: 16 bits scaled by their range, what has no range refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from promptbench.data.images import decoding, pictures
from promptbench.data.images.formats import RefusedImage
from tests.data.toy import encoded

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)
SCALED = np.rint(RAMP / 257).astype(np.uint8)  # 65535 = 255 * 257, so that no value is halfway


def levels(data: bytes) -> NDArray[np.uint8]:
    """The levels of an image that must be grey, uint8 [height, width]."""
    image = decoding.decode(data)
    assert image.mode == "RGB"
    pixels = np.asarray(image)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


def png(colour_type: int, values: NDArray[np.uint16]) -> bytes:
    """A 16-bit PNG, which Pillow cannot write in colour: values [height, width(, channels)]."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    height, width = values.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(pixels: bytes, bits: int, order: str = "<", photometric: int = 1, kind: int = 1) -> bytes:
    """An uncompressed grey TIFF of 256 by 256; `kind`: 1 unsigned, 2 signed, 3 floats."""
    tags: Sequence[tuple[int, int]] = (
        *((256, 256), (257, 256), (258, bits), (259, 1), (262, photometric), (273, 134)),
        *((277, 1), (278, 256), (279, len(pixels)), (339, kind)),
    )
    fields = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    start = magic + struct.pack(f"{order}IH", 8, len(tags)) + fields + bytes(4)
    assert len(start) == 134
    return start + pixels


def pgm(values: NDArray[np.uint16], top: int) -> bytes:
    height, width = values.shape
    return b"P5 %d %d %d\n" % (width, height, top) + values.astype(">u2").tobytes()


def jpeg2000() -> bytes:
    return encoded(Image.fromarray(RAMP), "JPEG2000", irreversible=False)


@pytest.mark.parametrize(
    "data",
    [
        png(0, RAMP),
        tiff(RAMP.astype("<u2").tobytes(), 16),
        tiff(RAMP.astype(">u2").tobytes(), 16, ">"),
        tiff((65535 - RAMP).astype("<u2").tobytes(), 16, photometric=0),
        encoded(Image.fromarray(RAMP), "TIFF", compression="tiff_lzw"),
        pgm(RAMP, 65535),
        jpeg2000(),
    ],
    ids=["png", "tiff", "tiff-big-endian", "tiff-white-is-zero", "tiff-lzw", "pgm", "jpeg2000"],
)
def test_sixteen_bits_of_grey_are_scaled_with_right_rounding(data: bytes) -> None:
    found = levels(data)
    assert np.array_equal(found, SCALED)
    assert (found.min(), found.max()) == (0, 255) and (
        np.diff(found.ravel().astype(int)) >= 0
    ).all()


def test_fewer_than_sixteen_bits_are_scaled_by_their_own_range() -> None:
    values = RAMP % 4096
    expected = np.rint(values / 4095 * 255).astype(np.uint8)
    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = (pairs[:, 0] << 12 | pairs[:, 1]).astype(">u4").tobytes()
    twelve = b"".join(packed[at + 1 : at + 4] for at in range(0, len(packed), 4))
    assert np.array_equal(levels(tiff(twelve, 12)), expected)
    assert np.abs(levels(pgm(values, 4095)).astype(int) - expected).max() <= 1  # by way of 65535
    assert levels(b"P2 3 1 1000 0 500 1000").tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(("colour_type", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_of_colour_or_with_alpha_are_what_pillow_reads(
    colour_type: int, channels: int
) -> None:
    data = png(colour_type, np.repeat(RAMP[..., None], channels, axis=2))
    assert np.array_equal(levels(data), RAMP >> 8)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (tiff(RAMP.astype("<u4").tobytes(), 32), "integers"),
        (tiff(RAMP.astype("<i2").tobytes(), 16, kind=2), "integers"),
        (tiff((RAMP / 65535).astype("<f4").tobytes(), 32, kind=3), "floats"),
        (b"Pf\n2 2\n-1.0\n" + bytes(16), "not an image"),
    ],
    ids=["32-bit", "signed", "float", "pfm"],
)
def test_what_has_no_range_is_refused_wherever_it_comes_in(data: bytes, kind: str) -> None:
    for use in (decoding.decode, pictures.look, pictures.glance, lambda d: pictures.shrunk(d, 64)):
        with pytest.raises(RefusedImage, match=kind):
            use(data)


def test_shrunk_images_keep_their_greys() -> None:
    small = levels(pictures.shrunk(png(0, RAMP), 64))
    assert small.shape == (64, 64) and small.min() < 10 and small.max() > 245
    assert np.abs(np.diff(small.astype(int).mean(axis=1)) - 4).max() < 1  # still a ramp


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (8, 8), name) for name in ("red", "blue")]
    for form in ("PNG", "WEBP", "TIFF"):
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], lossless=True)
        assert decoding.decode(data).getpixel((0, 0)) == (255, 0, 0)


def test_a_file_is_refused_for_what_it_is() -> None:
    two_channels = tiff(bytes(2 * 65536), 8).replace(
        struct.pack("<HHII", 277, 4, 1, 1), struct.pack("<HHII", 277, 4, 1, 2)
    )
    with pytest.raises(RefusedImage, match=r"begins as tif, but Pillow .* cannot read it"):
        decoding.decode(two_channels)


def test_looks_are_equal_when_pixels_are() -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    same = [pictures.look(encoded(image, form)) for form in ("PNG", "BMP", "TIFF", "PPM")]
    assert len(set(same)) == 1 and same[0].deepest is None and same[0].flat is None
    turned = image.resize((9, 7))
    assert pictures.look(encoded(turned, "PNG")).identity != same[0].identity
    assert pictures.look(encoded(Image.new("RGB", (3, 3), "red"), "GIF")).flat == (255, 0, 0)
    deep = pictures.look(png(0, RAMP // 16))
    assert (
        deep.deepest == pytest.approx(4095 / 65535) and pictures.glance(png(0, RAMP)).deepest == 1
    )


def test_pixels_with_one_colour_but_for_the_last_are_not_flat() -> None:
    image = Image.new("RGB", (5, 5))
    image.putpixel((4, 4), (0, 0, 1))
    assert pictures.look(encoded(image, "PNG")).flat is None


def test_a_cut_image_is_broken_not_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for form in ("JPEG", "PNG"):
        whole = encoded(Image.fromarray(noise), form)
        with pytest.raises(pictures.BROKEN) as caught:
            pictures.look(whole[: len(whole) // 2])
        assert not isinstance(caught.value, RefusedImage)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_avif_is_broken_like_any_other() -> None:
    whole = encoded(Image.new("RGB", (20, 24), "red"), "AVIF")
    for damaged in (whole.replace(b"av01", b"av09"), whole[:60], whole[:-10]):
        with pytest.raises(pictures.BROKEN):
            pictures.look(damaged)
