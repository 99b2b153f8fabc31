"""The cells of a plan, as plain data beside its plan file.

Who looks on learns from it where each cell's files lie and how much there is to do, without the
plugins, the data and the settings that a plan is made with, and with another version as well: what
a later one adds is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench.errors import UserError
from promptbench.storage.files import write_whole
from promptbench.storage.reading import parse_json, read_bytes
from promptbench.workers.plan.places import CELLS

if TYPE_CHECKING:
    from promptbench.planning.plan import Plan

_MOST = 256 * 2**20  # bytes: some hundred thousand cells


@dataclass(frozen=True)
class Entry:
    """A cell as those see it who do not compute it.

    Args:
        id, training_id, label: as the cell has them.
        protocol, method: by their names.
        pace: what cells have in common that take the same time per step and per image.
        folder: where its record lies, relative to the output folder.
        training_folder: where what it takes of its training lies, relative to the output folder.
        epochs, steps: of its training; 0 without one by gradient steps.
        images: the test images that it scores.
    """

    id: str
    training_id: str
    label: str
    protocol: str
    method: str
    pace: str
    folder: str
    training_folder: str
    epochs: int
    steps: int
    images: int


_KINDS = {each.name: int if each.type == "int" else str for each in fields(Entry)}


def of_plans(plans: Sequence[Plan]) -> tuple[Entry, ...]:
    """The entries of all cells of plans, in their order."""
    import functools

    from promptbench.data.cards import cards
    from promptbench.planning import extent

    card_of, here = functools.cache(cards.load), Path()
    return tuple(
        Entry(
            id=cell.id,
            training_id=cell.training_id,
            label=cell.label,
            protocol=made.protocol_name,
            method=cell.method.name,
            pace=f"{cell.method.name} {cell.leg.source.key} {cell.weights_sha256[:12]}",
            folder=cell.folder(here).as_posix(),
            training_folder=cell.outcome_folder(here).as_posix(),
            epochs=extent.epochs(cell, card_of),
            steps=extent.steps(cell, card_of),
            images=extent.scored_images(cell, card_of),
        )
        for made in plans
        for cell in made.cells
    )


def write(folder: Path, entries: Sequence[Entry]) -> None:
    """Write the cells into the folder of a plan.

    Raises:
        OutputError: it cannot be written.
    """
    text = json.dumps({"cells": [asdict(entry) for entry in entries]}, separators=(",", ":"))
    write_whole(folder / CELLS, text.encode())


def read(folder: Path) -> tuple[Entry, ...]:
    """The cells in the folder of a plan.

    Raises:
        UserError: there are none that can be read; with the file.
    """
    path = folder / CELLS
    try:
        plain = parse_json(read_bytes(path, _MOST, "the cells of a plan"))
        return tuple(_entry(each) for each in plain["cells"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} does not list the cells of a plan: {error}") from error


def _entry(plain: dict[str, Any]) -> Entry:
    found = {name: plain[name] for name in _KINDS}
    for name, value in found.items():
        if not isinstance(value, _KINDS[name]):
            raise ValueError(f"{name}: {value!r}")
    for name in ("folder", "training_folder"):
        path = Path(found[name])
        if path.is_absolute() or ".." in path.parts or "\0" in found[name]:
            raise ValueError(f"{name}: {found[name]!r} is not below the output folder")
    return Entry(**found)
