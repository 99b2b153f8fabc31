"""Layout `csv`: a table with the columns path and label, and perhaps split and classname.

Paths are relative to the table's folder. Labels are class names, or numbers from 0 on whose names
are in the column classname. The canonical order is the table's.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from promptbench.data.cards import DataCard
from promptbench.data.layouts.base import Draft, Options, Sample, Source, options_of
from promptbench.data.layouts.files import FileSource, safe, stamped_rows, text_of
from promptbench.data.layouts.splits import WHOLE, counts, label_order, splits_found, with_holdout
from promptbench.errors import UserError
from promptbench.progress import Reporter


class CsvOptions(Options):
    """`labels`: texts of the label column in label order; `splits`: our split -> the table's."""

    labels: list[str]
    splits: dict[str, str]
    holdout: float | None = None


@dataclass(frozen=True)
class Row:
    """A line of the table; `split` is "all" where the table has no such column."""

    path: str
    label: str
    split: str
    class_name: str


def open_source(card: DataCard, location: str, listener: Reporter) -> Source:
    """The images that the table names."""
    options = options_of(card, CsvOptions)
    if len(options.labels) != len(card.classes):
        raise UserError(
            f"data card {card.name!r}: {len(options.labels)} labels, {len(card.classes)} classes"
        )
    table = Path(location).expanduser()
    return FileSource(table.parent, _listing(table, parse(text_of(table), location), options))


def draft(location: str, holdout: float | None, listener: Reporter) -> Draft:
    """Classes and counts of a table."""
    table = Path(location).expanduser()
    rows = parse(text_of(table), location)
    named = list(dict.fromkeys(row.split for row in rows))
    hint = "column split must say test for some rows"
    options = CsvOptions(
        labels=label_order({row.label for row in rows}, location),
        splits=splits_found(named, holdout, location, hint),
        holdout=holdout,
    )
    names = {row.label: row.class_name for row in rows}
    listing = _listing(table, rows, options)
    dumped = options.model_dump(exclude_defaults=True)
    return Draft([names[label] for label in options.labels], counts(listing), dumped)


def parse(text: str, where: str) -> list[Row]:
    """The rows of a table.

    Raises:
        UserError: a column or value is missing, a path leaves the folder, a label has two names.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise UserError(f"{where} is not a valid CSV table: {error}") from error
    rows: list[Row] = []
    for number, line in enumerate(lines, 2):
        place = f"{where}, line {number}"
        if None in line:
            raise UserError(f"{place}: more values than columns; quote paths with commas")
        fields = {column: (value or "").strip() for column, value in line.items()}
        for column in ("path", "label"):
            if not fields.get(column):
                raise UserError(f"{place}: column {column!r} is missing or empty")
        path, label = safe(fields["path"], place), fields["label"]
        rows.append(Row(path, label, fields.get("split", WHOLE), fields.get("classname") or label))
    if not rows:
        raise UserError(f"{where} has no rows; it needs the columns path and label")
    _refuse_two_names(rows, where)
    return rows


def _refuse_two_names(rows: list[Row], where: str) -> None:
    names: dict[str, str] = {}
    for row in rows:
        if names.setdefault(row.label, row.class_name) != row.class_name:
            raise UserError(
                f"{where}: label {row.label!r} has two class names, "
                f"{names[row.label]!r} and {row.class_name!r}"
            )


def _listing(table: Path, rows: list[Row], options: CsvOptions) -> dict[str, list[Sample]]:
    label_of = {label: number for number, label in enumerate(options.labels)}
    for row in rows:
        if row.label not in label_of:
            raise UserError(
                f"{table}: label {row.label!r} of {row.path} is none of the card's "
                f"{len(label_of)} classes"
            )
    listing = {
        split: stamped_rows(
            table.parent,
            [(row.path, label_of[row.label]) for row in rows if row.split == own],
            str(table),
        )
        for split, own in options.splits.items()
    }
    return with_holdout(listing, options.holdout)
