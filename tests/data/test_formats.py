"""Which files are images that shards take, from their first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from promptbench.data.images.formats import (
    HEAD,
    IMAGE_EXTENSIONS,
    RefusedImage,
    extension_of,
    is_image,
)
from tests.data.toy import encoded

PICTURE = Image.new("RGB", (16, 16), "red")
WRITTEN = {
    **{"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "GIF": "gif", "TIFF": "tif"},
    **{"JPEG2000": "jp2", "PPM": "ppm", "MPO": "jpg"},
    **({"AVIF": "avif"} if features.check("avif") else {}),
}


@pytest.mark.parametrize("form", WRITTEN)
def test_what_pillow_writes_is_recognised(form: str) -> None:
    data = encoded(PICTURE, form)
    assert extension_of(data) == WRITTEN[form] and is_image(data[:HEAD])
    assert WRITTEN[form] in IMAGE_EXTENSIONS


def test_kinds_within_a_format_are_recognised() -> None:
    assert extension_of(encoded(PICTURE, "TIFF", big_tiff=True)) == "tif"
    assert extension_of(encoded(PICTURE, "JPEG2000", no_jp2=True)) == "j2k"
    for mode in ("1", "L"):
        assert extension_of(encoded(PICTURE.convert(mode), "PPM")) == "ppm"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encoded(PICTURE, "ICO"), "icon"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"<?xml version='1.0'?>\n<svg xmlns=''>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"", "it is empty"),
        (b"hello", "begins with b'hello'"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42", "not an image"),
    ],
)
def test_others_are_refused_by_name(data: bytes, name: str) -> None:
    assert not is_image(data)
    with pytest.raises(RefusedImage, match=name):
        extension_of(data)


@given(st.binary(max_size=300))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    try:
        assert extension_of(data) in IMAGE_EXTENSIONS and is_image(data)
    except RefusedImage:
        assert not is_image(data)


def test_avif_is_found_among_the_brands() -> None:
    assert extension_of(b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf") == "avif"
    beyond = b"\x00\x00\x00\x14ftypmif1\x00\x00\x00\x00mif1avif"  # after the box's end
    assert not is_image(beyond)
