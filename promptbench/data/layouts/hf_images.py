"""The images of a Hugging Face dataset: inside it as bytes, or files that its rows name."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from promptbench.data.layouts.fence import Fence, real, remedy_for
from promptbench.data.layouts.hf_columns import refuse_rows, words
from promptbench.data.layouts.hf_files import library
from promptbench.errors import UserError

_BATCH = 1000  # rows whose validity is looked at together


def undecoded(table: Any, image: str, split: str, where: str) -> Any:
    """A split whose images are given as {"bytes", "path"}, not decoded."""
    if image not in table.features:
        raise UserError(f"{where}: split {split} has no column {image!r}")
    try:
        return table.cast_column(image, library().Image(decode=False))
    except (ValueError, TypeError, NotImplementedError) as error:
        raise UserError(
            f"{where}: the column {image!r} of split {split} is a {words(table.features[image])}, "
            f"not images: {error}"
        ) from error


def check_images(table: Any, image: str, split: str, fence: Fence) -> None:
    """Refuse a split with rows that have no image, or whose image is a file that is not there, is
    not a file or lies outside of the dataset.

    Raises:
        UserError: how many, and the first row.
    """
    folder = fence.own
    bare: list[int] = []
    gone: list[tuple[int, str]] = []
    outside: list[tuple[int, str]] = []
    for row, path in _without_bytes(table, image):
        if not path:
            bare.append(row)
            continue
        try:
            if file_of(path, fence) is None:
                gone.append((row, path))
        except UserError:
            outside.append((row, path))
    if bare:
        refuse_rows(bare, len(table), f"have no image in column {image!r}", split, str(folder))
    if outside:
        row, path = outside[0]
        place = real(folder / path).parent
        raise UserError(
            f"{folder}: {len(outside)} of {len(table)} image files of split {split} lie outside of "
            f"it, the first is {path!r} of row {row}; save it with its images inside (to_parquet, "
            "save_to_disk after cast_column to datasets.Image()), or "
            f"{remedy_for(place)}"
        )
    if gone:
        row, path = gone[0]
        raise missing_file(split, row, path, folder, f"{len(gone)} of {len(table)} image files")


def missing_file(
    split: str, row: int, path: str, folder: Path, count: str = "1 image file"
) -> UserError:
    """The error for image files that a dataset names and that are not there."""
    return UserError(
        f"{folder}: {count} of split {split} cannot be found, the first is {path!r} of row {row} "
        "(a relative path is looked for in the dataset's folder and in the current one)"
        "; put the files back, or save the dataset with its images inside: to_parquet, "
        "save_to_disk after cast_column to datasets.Image()"
    )


def _without_bytes(table: Any, image: str) -> Iterator[tuple[int, str | None]]:
    """(row, path) of the rows that do not hold their image's bytes; no bytes are read for it."""
    compute: Any = importlib.import_module("pyarrow.compute")
    start = 0
    for batch in table.select_columns([image]).with_format("arrow").iter(batch_size=_BATCH):
        for chunk in batch[image].chunks:
            parts = dict(zip([f.name for f in chunk.type], chunk.flatten(), strict=True))
            inside = compute.fill_null(
                compute.greater(compute.binary_length(parts["bytes"]), 0), False
            )
            for row, (has, path) in enumerate(
                zip(inside.to_pylist(), parts["path"].to_pylist(), strict=True)
            ):
                if not has:
                    yield start + row, path
            start += len(chunk)


def file_of(path: str, fence: Fence) -> Path | None:
    """Where an image file lies that a row names, None if it is not there.

    Raises:
        UserError: it lies outside of the dataset and of the folders that the user allows.
    """
    if "\0" in path:
        raise UserError(f"{fence.own}: refused the path {path!r}: no file can be called that")
    places = [folder / path for folder in (fence.own, Path()) if (folder / path).is_file()]
    inside = [place for place in places if fence.outside(place) is None]
    if places and not inside:
        fence.checked(places[0], "the image")
    return inside[0] if inside else None
