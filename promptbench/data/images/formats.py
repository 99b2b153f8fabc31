"""Which encoded images shards hold: recognised by their first bytes, whatever a file is called."""

from __future__ import annotations

# The suffixes under which images are known; content decides what each of them is.
IMAGE_EXTENSIONS = (
    *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff"),
    *("avif", "jp2", "j2k", "ppm", "pgm", "pbm", "pnm"),
)
HEAD = 256  # bytes of an image that tell its format
MOST_IMAGE = 2**28  # bytes of an encoded image

_TAKEN = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tif"),
    (b"MM\x00*", "tif"),
    (b"II+\x00", "tif"),  # BigTIFF
    (b"MM\x00+", "tif"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "j2k"),
)
_KNOWN = (
    (b"\x00\x00\x01\x00", "an icon (ICO), which holds several pictures"),
    (b"8BPS", "a Photoshop file"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"qoif", "a QOI image"),
    (b"DDS ", "a DDS texture"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"SIMPLE  =", "a FITS file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a pointer of Git LFS, whose image was not fetched"),
)
_HEIF = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


class RefusedImage(ValueError):
    """A file or an image that shards do not take, even where it is sound; its text says why."""


def is_image(head: bytes) -> bool:
    """Whether a file is an image that shards take, from its first `HEAD` bytes."""
    return _extension(head[:HEAD]) is not None


def extension_of(data: bytes) -> str:
    """What an image is, whatever its file is called (some datasets hide PNGs behind .jpg).

    Raises:
        Refused: none of the formats that shards hold.
    """
    head = data[:HEAD]
    extension = _extension(head)
    if extension is not None:
        return extension
    if not head:
        raise RefusedImage("it is empty; replace it")
    known = _known(head)
    if known is None:
        raise RefusedImage(f"it is not an image (it begins with {head[:8]!r}); replace it")
    raise RefusedImage(f"it is {known}; replace it by an image such as JPEG, PNG or WebP")


def _extension(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if _brands(head) & {b"avif", b"avis"}:
        return "avif"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "ppm"
    return next((extension for magic, extension in _TAKEN if head.startswith(magic)), None)


def _known(head: bytes) -> str | None:
    """What a file is that is none of ours."""
    if _brands(head) & _HEIF:
        return "a HEIC image"
    if head[128:132] == b"DICM":
        return "a DICOM file"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, as a failed download leaves it"
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "a drawing (SVG)"
    return next((name for magic, name in _KNOWN if head.startswith(magic)), None)


def _brands(head: bytes) -> set[bytes]:
    """The brands of a file of the ISO base media format: AVIF's and HEIC's; none of others."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
