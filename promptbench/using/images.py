"""Own images: found in files, folders and patterns, read, and made into batches as test images are.

What cannot be read is kept beside the batches with its reason, so that nothing is left out unsaid.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from promptbench.data.images import decoding, formats, levels, transforms
from promptbench.data.images.pictures import BROKEN
from promptbench.data.images.transforms import Levels, Normalisation
from promptbench.data.shards.parallel import ahead
from promptbench.errors import UserError
from promptbench.storage import reading
from promptbench.support.safe_text import shortened

AT_ONCE = 100  # as runs classify, so that the last bits are theirs
_SUFFIXES = tuple(f".{extension}" for extension in formats.IMAGE_EXTENSIONS)
_FOLDERS_OF_SYSTEMS = frozenset({"__MACOSX", "__pycache__"})
_SHOWN = 3

Place = str | os.PathLike[str]
Images = Place | Image.Image | Tensor | Sequence["Place | Image.Image"]


@dataclass
class Found:
    """The images that places stand for, and the files of folders that are not, by folder."""

    images: list[Path] = field(default_factory=list)
    others: dict[Path, list[str]] = field(default_factory=dict)

    @property
    def remarks(self) -> list[str]:
        """What to say of files that are left out, a sentence for each folder."""
        found = []
        for folder, names in self.others.items():
            more = ", ..." if len(names) > _SHOWN else ""
            shown = ", ".join(shortened(name) for name in names[:_SHOWN])
            verb = "file is not an image" if len(names) == 1 else "files are not images"
            found.append(f"{folder}: {len(names)} {verb}, left out: {shown}{more}")
        return found


class Batch(NamedTuple):
    """Normalised images [n, 3, size, size], float32, and what each is called."""

    images: Tensor
    names: list[str]


def find(places: Iterable[Place]) -> Found:
    """Find the images of files, folders (with all below them) and patterns such as "*.jpg".

    Folders are read in natural order (2 before 10). In them a file counts as an image by its suffix
    or its content, and hidden files do not count at all; a file that is named itself always does.

    Raises:
        UserError: a place where there is nothing, or nothing at all.
    """
    found = Found()
    for place in places:
        path = Path(place).expanduser()
        if path.is_dir():
            _below(path, found)
        elif os.path.lexists(path):
            found.images.append(path)
        elif glob.has_magic(str(path)):
            pattern = str(path)  # pathlib takes no absolute ones
            matched = sorted(glob.glob(pattern, recursive=True), key=_natural)  # noqa: PTH207
            if not matched:
                raise UserError(f"no file matches {place}")
            for each in map(Path, matched):
                if each.is_dir():
                    _below(each, found)
                else:
                    found.images.append(each)
        else:
            raise UserError(f"{place} does not exist; name image files, folders or patterns")
    found.images = list(dict.fromkeys(found.images))
    if not found.images:
        said = "; ".join(found.remarks) or "the folders are empty"
        raise UserError(f"there is no image to classify ({said})")
    return found


def _below(folder: Path, found: Found) -> None:
    for where, folders, files in os.walk(folder):
        own = (name for name in folders if not name.startswith("."))
        folders[:] = sorted((n for n in own if n not in _FOLDERS_OF_SYSTEMS), key=_natural)
        for name in sorted(files, key=_natural):
            path = Path(where) / name
            if name.startswith(".") or name == "Thumbs.db":
                continue
            if name.lower().endswith(_SUFFIXES) or _is_image(path):
                found.images.append(path)
            else:
                found.others.setdefault(Path(where), []).append(name)


def _is_image(path: Path) -> bool:
    if not path.is_file():  # a pipe would block
        return False
    try:
        with path.open("rb") as file:
            return formats.is_image(file.read(formats.HEAD))
    except OSError:
        return False


def _natural(text: str) -> list[Any]:
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def batches(
    images: Images, target: Normalisation, workers: int, unreadable: dict[str, str]
) -> Iterator[Batch]:
    """Yield images as a run's test images enter, at most `AT_ONCE` at a time.

    Args:
        images: as `Predictor.predict` takes them.
        target: how images enter the backbone.
        workers: threads that decode ahead.
        unreadable: takes the reason of each image that cannot be read, by its name.

    Raises:
        UserError: there are none, or tensors of another shape.
    """
    if isinstance(images, Tensor):
        yield from _of_tensor(images, target)
        return
    items = _items(images)

    def read(number: int) -> tuple[str, Levels | str]:
        item = items[number]
        if isinstance(item, Image.Image):
            return f"image {number + 1}", _prepared(item, target)
        return str(item), _of_file(item, target)

    names: list[str] = []
    rows: list[Levels] = []
    for name, row in ahead(read, range(len(items)), workers):
        if isinstance(row, str):
            unreadable[name] = row
            continue
        names.append(name)
        rows.append(row)
        if len(rows) == AT_ONCE:
            yield Batch(levels.normalised(levels.stacked(rows), target), names)
            names, rows = [], []
    if rows:
        yield Batch(levels.normalised(levels.stacked(rows), target), names)


def _items(images: Any) -> list[Path | Image.Image]:
    if isinstance(images, Image.Image):
        return [images]
    given: list[Any] = (
        [images] if isinstance(images, str | bytes | os.PathLike) else _listed(images)
    )
    wrong = [g for g in given if not isinstance(g, str | os.PathLike | Image.Image)]
    if wrong:
        raise UserError(
            f"images are paths, PIL images or one tensor, not {type(wrong[0]).__name__}"
        )
    found: list[Path | Image.Image] = []
    for item in given:
        found += [item] if isinstance(item, Image.Image) else find([item]).images
    if not found:
        raise UserError("there is no image to classify: the list is empty")
    return found


def _listed(images: Any) -> list[Any]:
    """What a list, a generator or the like holds; what is none, as it is."""
    return list(images) if isinstance(images, Iterable) else [images]


def _of_tensor(images: Tensor, target: Normalisation) -> Iterator[Batch]:
    wanted = (3, target.size, target.size)
    if images.dim() != 4 or tuple(images.shape[1:]) != wanted or not images.is_floating_point():
        raise UserError(
            f"a tensor of images must be floats of shape [n, {', '.join(map(str, wanted))}], "
            f"normalised as test images are, not {images.dtype} of {list(images.shape)}"
        )
    if not len(images):
        raise UserError("there is no image to classify: the tensor is empty")
    for start in range(0, len(images), AT_ONCE):
        rows = images[start : start + AT_ONCE].float()
        yield Batch(rows, [f"image {start + place + 1}" for place in range(len(rows))])


def _of_file(path: Path, target: Normalisation) -> Levels | str:
    """An image as it enters the backbone, or why it cannot be read."""
    try:
        data = reading.read_bytes(path, formats.MOST_IMAGE, "the image")
    except UserError as error:
        return str(error).removeprefix(f"cannot read the image {path}: ")
    try:
        return transforms.for_testing(decoding.decode(data), target)
    except BROKEN as error:
        return " ".join(str(error).split()) or type(error).__name__


def _prepared(image: Image.Image, target: Normalisation) -> Levels | str:
    if image.mode == "F" or (image.mode == "I" and not decoding.is_deep(image)):
        return f"its pixels have mode {image.mode}, whose black and white nothing says"
    try:
        return transforms.for_testing(decoding.to_rgb(image), target)
    except BROKEN as error:
        return " ".join(str(error).split()) or type(error).__name__
