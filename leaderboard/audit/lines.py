"""Published numbers from files of `leaderboard/published/`'s columns, as the rows of tables."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

from promptbench.core.metric import DEFAULT
from promptbench.errors import UserError, unknown
from promptbench.leaderboard.audit.intervals import Interval, rounded
from promptbench.leaderboard.checking import known
from promptbench.support.safe_text import shortened

_OF_ROW = ("method", "inference", "shots", "backbone", "source", "origin")
COLUMNS = ("method", "dataset", "split", "value", *_OF_ROW[1:], "note")
NOT_NUMBERS = "methods"  # the file that names methods
_ENOUGH = 6  # that so many numbers of two decimals all end in 0 is not chance

Cell = tuple[str, str]  # dataset, split
_Key = tuple[str, ...]


@dataclass(frozen=True)
class Printed:
    """One number: its text, the steps in which it is printed, and where it stands."""

    text: str
    unit: float
    note: str
    file: str
    line: int

    @property
    def value(self) -> float:
        return float(self.text)

    @property
    def interval(self) -> Interval:
        """What it may stand for."""
        return rounded(self.value, self.unit)


@dataclass(frozen=True)
class PrintedRow:
    """One source's numbers of one method under the same circumstances, by dataset and split.

    `again` are further lines with a cell that it has already, under the same note.
    """

    protocol: str
    method: str
    inference: str
    shots: str
    backbone: str
    source: str
    origin: str
    metric: str
    cells: dict[Cell, Printed] = field(default_factory=dict)
    again: list[tuple[Cell, Printed]] = field(default_factory=list)


def own_files() -> list[Path]:
    """The files of the numbers that promptbench holds of the installed protocols."""
    folder = Path(str(resources.files("promptbench.leaderboard"))) / "published"
    return [path for path in files_of([folder]) if path.stem in known.protocol_names()]


def files_of(places: Iterable[Path]) -> list[Path]:
    """CSV files, and those in folders, without the list of methods.

    Raises:
        UserError: a folder without any.
    """
    found: list[Path] = []
    for place in places:
        inside = sorted(place.glob("*.csv")) if place.is_dir() else [place]
        inside = [path for path in inside if path.stem != NOT_NUMBERS]
        if not inside:
            raise UserError(f"{place} holds no CSV file; name them as protocols: base_to_new.csv")
        found += inside
    return found


def read(paths: Sequence[Path]) -> list[PrintedRow]:
    """The rows of files called as their protocols; several files of one name are one.

    Raises:
        UserError: a file that is not called as a protocol or cannot be read, a column that is
            missing, a value that is not a number.
    """
    rows: dict[_Key, list[PrintedRow]] = {}
    for path in paths:
        for line, facts in _lines(path):
            key = (path.stem, *(facts[name] for name in _OF_ROW), facts.get("metric") or DEFAULT)
            printed = Printed(facts["value"].strip(), 0.0, facts["note"], path.name, line)
            _add(rows.setdefault(key, []), key, (facts["dataset"], facts["split"]), printed)
    return _with_units([row for same in rows.values() for row in same])


def _lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    if path.stem not in known.protocol_names():
        raise unknown(
            "protocol",
            path.stem,
            known.protocol_names(),
            f"{path} is named after none; the numbers of base_to_new stand in base_to_new.csv",
        )
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, restval="")
            lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                raise UserError(
                    f"{path} lacks the columns {', '.join(lacking)}; its first line names them: "
                    f"{','.join(COLUMNS)}"
                )
            found = [(reader.line_num, facts) for facts in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    for line, facts in found:
        _refuse_no_number(path, line, facts["value"])
    return found


def _refuse_no_number(path: Path, line: int, value: str) -> None:
    try:
        sound = math.isfinite(float(value)) and float(value) >= 0
    except ValueError:
        sound = False
    if not sound or set(value.strip()) - set("0123456789."):
        raise UserError(
            f"{path}, line {line}: the value {shortened(value)!r} is not a number such as 81.38"
        )


def _add(rows: list[PrintedRow], key: _Key, cell: Cell, printed: Printed) -> None:
    """Put a number into the row of its lines; one source may print several rows of a method, which
    their notes tell apart."""
    alike = [r for r in rows if any(p.note == printed.note for p in r.cells.values())]
    free = [row for row in (*alike, *rows[::-1]) if cell not in row.cells]
    if free:
        free[0].cells[cell] = printed
    elif alike:
        alike[-1].again.append((cell, printed))
    else:
        protocol, method, inference, shots, backbone, source, origin, metric = key
        row = PrintedRow(protocol, method, inference, shots, backbone, source, origin, metric)
        row.cells[cell] = printed
        rows.append(row)


def _with_units(rows: list[PrintedRow]) -> list[PrintedRow]:
    """Give every number the steps in which its column is printed.

    A source with one decimal may have been written with two. A row's numbers of one split tell,
    where they are many; else the row's, the source's, or the text as it is.
    """
    of_source: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        of_source[row.protocol, row.source] += [p.text for p in row.cells.values()]
    for row in rows:
        texts = [p.text for p in row.cells.values()]
        for cell, printed in row.cells.items():
            column = [p.text for (_, split), p in row.cells.items() if split == cell[1]]
            piles = (column, texts, of_source[row.protocol, row.source])
            enough = next((pile for pile in piles if len(pile) >= _ENOUGH), None)
            decimals = max(map(_needed, enough)) if enough else max(map(_written, texts))
            row.cells[cell] = replace(printed, unit=10.0**-decimals)
    return rows


def _written(text: str) -> int:
    return len(text.partition(".")[2])


def _needed(text: str) -> int:
    return len(text.partition(".")[2].rstrip("0"))
