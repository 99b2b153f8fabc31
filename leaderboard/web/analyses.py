"""Analyses on the pages of methods: what `promptbench analyze` wrote, written again to the site.

Folders of analyses may come from strangers. Nothing of them is copied as it is: numbers are written
from what was read of them, figures are PNG files that were decoded, and links lead nowhere.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

from promptbench.analysis import results
from promptbench.analysis.rows import Number
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known
from promptbench.report.flat import safe
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

FOLDER = "analyses"
MOST_BYTES = 32 * 2**20  # of a file
MOST_PIXELS = 50_000_000  # of a figure
LeftOut = Callable[[str], object]


def collect(
    folders: Sequence[Path], out: Path, left_out: LeftOut
) -> dict[str, list[dict[str, Any]]]:
    """Write all analyses under `folders` to the site `out`; what the page of each method shows.

    `left_out` hears of every file that is not taken over, with the reason. The SVG twin of a PNG
    figure is left out silently: scripts may be in it.
    """
    shown: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for folder in folders:
        for path in results.written(folder):
            try:
                entry = _written(path, folder, out, left_out)
            except UserError as error:
                left_out(printable(str(error)))
                continue
            for method in entry["methods"]:
                shown[method].append(entry)
    return {
        method: sorted(entries, key=lambda entry: len(entry["methods"]))  # its own come first
        for method, entries in shown.items()
    }


def _written(path: Path, folder: Path, out: Path, left_out: LeftOut) -> dict[str, Any]:
    found = results.parse(_text(path, folder), path)
    place = path.relative_to(folder).parent
    files = {
        path.name: (found.model_dump_json(indent=1) + "\n").encode(),
        path.with_suffix(".csv").name: _table(found.rows).encode(),
        **dict(_figures(found, path, folder, left_out)),
    }
    target = out / FOLDER / place
    target.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (target / name).write_bytes(data)
    href = f"{FOLDER}/{place.as_posix()}/"
    seeds = len({run.seed for run in found.runs})
    known_suite = found.suite in known.suite_names()
    return {
        "title": printable(found.title),
        "about": printable(
            f"{', '.join(dict.fromkeys(run.title for run in found.runs))}: {found.protocol}, "
            f"{found.backbone}, {counted(seeds, 'seed')}"
        ),
        "banner": known.suite(found.suite).banner if known_suite else "",
        "methods": list(dict.fromkeys(found.methods)),
        "pictures": [
            (href + name, *_size(data)) for name, data in files.items() if name.endswith(".png")
        ],
        "files": [(name, href + name) for name in files],
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The numbers as CSV, with the columns that an analysis has."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Number)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: safe(row.get(key)) for key in writer.fieldnames})
    return text.getvalue()


def _text(path: Path, folder: Path) -> str:
    try:
        return _bytes(path, folder).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not an analysis: {error}") from error


def _figures(
    found: results.Result, path: Path, folder: Path, left_out: LeftOut
) -> Iterator[tuple[str, bytes]]:
    """The PNG figures of an analysis, decoded and encoded again; others are reported."""
    names = dict.fromkeys(found.figures)
    for name in names:
        if name.endswith(".svg") and name.removesuffix(".svg") + ".png" in names:
            continue
        try:
            if Path(name).name != name or not name.endswith(".png"):
                raise UserError(f"{path}: the figure {name!r} is not a PNG file beside it")
            yield name, _png(path.with_name(name), folder)
        except UserError as error:
            left_out(printable(str(error)))


def _png(path: Path, folder: Path) -> bytes:
    data = _bytes(path, folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(f"{image.width} x {image.height} pixels")
                pixels = image.convert("RGBA")
        encoded = io.BytesIO()
        pixels.save(encoded, "PNG")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path} is not a PNG figure: {error}") from error
    return encoded.getvalue()


def _size(data: bytes) -> tuple[int, int]:
    """Width and height of a figure in pixels, so that its page does not jump when it is loaded."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return image.size


def _bytes(path: Path, folder: Path) -> bytes:
    """The bytes of a regular file below the folder.

    Raises:
        UserError: a link, a file of another kind, one that is too large or cannot be read.
    """
    own = path.resolve()
    if own != folder.resolve() / path.relative_to(folder) or not own.is_file():
        raise UserError(f"{path} is not a regular file of {folder} (a link, or not there)")
    try:
        with own.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} is larger than {MOST_BYTES // 2**20} MiB")
    return data
