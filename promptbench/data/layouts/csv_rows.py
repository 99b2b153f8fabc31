"""The rows of a table of images: header and delimiter found, every line checked, none twice.

Spreadsheets and scripts write such tables in many ways. What can be read in one way only is: spaces
after a delimiter, semicolons, tabs or bars between columns, a header in another case, "sep=;" above
it. The rest is refused with its line.
"""

from __future__ import annotations

import csv
import io
import posixpath
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from promptbench.data.layouts.files import in_list
from promptbench.data.layouts.splits import WHOLE, split_named
from promptbench.errors import UserError

_NEEDED = ("path", "label")
_DELIMITERS = (",", ";", "\t", "|")
_EMPTY = ("nan", "<na>", "null")  # what libraries write into empty cells


@dataclass(frozen=True)
class CsvRow:
    """A line of the table; `split` is "all" where the table has no such column, and ours (train,
    val, test) where it means one of these."""

    path: str
    label: str
    split: str
    class_name: str
    line: int

    @property
    def file(self) -> str:
        """The path in the one spelling that all of its spellings share."""
        return posixpath.normpath(unicodedata.normalize("NFC", self.path))


def parse(text: str, where: str) -> list[CsvRow]:
    """The rows of a table.

    Raises:
        UserError: a column or value is missing, no file can have a path, a label has two names, an
            image stands in the table twice.
    """
    try:
        lines = _lines(text, where)
    except csv.Error as error:
        raise UserError(f"{where} is not a valid CSV table: {error}") from error
    rows = [_row(fields, number, where) for number, fields in lines if any(fields.values())]
    if not rows:
        raise UserError(f"{where} has no rows; it needs the columns path and label")
    if not any(row.split for row in rows):  # an empty column is as good as none
        rows = [replace(row, split=WHOLE) for row in rows]
    _refuse_no_split(rows, where)
    _refuse_two_names(rows, where)
    _refuse_repeated(rows, where)
    return rows


def _lines(text: str, where: str) -> list[tuple[int, dict[str, str]]]:
    """(line number, value per column) of every line below the header."""
    skipped = 0
    if text[:4].lower() == "sep=":  # for a spreadsheet's eyes only
        _, _, text = text.partition("\n")
        skipped = 1
    delimiter = _delimiter(text)
    table = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True, strict=True)
    header: list[str] | None = None
    found = []
    for values in table:
        number = skipped + table.line_num
        if header is None:
            header = _header(values, where) if any(values) else None
            continue
        if len(values) > len(header) and any(values[len(header) :]):
            raise UserError(
                f"{where}, line {number}: more values than columns; quote paths with commas"
            )
        padded = [*values, *[""] * (len(header) - len(values))]
        found.append((number, {c: v.strip() for c, v in zip(header, padded, strict=False)}))
    return found


def _delimiter(text: str) -> str:
    """What separates the columns of the header; a comma if nothing gives the columns needed."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter in _DELIMITERS:
        try:
            columns = next(csv.reader([head], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            continue
        if set(_NEEDED) <= {column.strip().lower() for column in columns}:
            return delimiter
    return ","


def _header(values: Sequence[str], where: str) -> list[str]:
    columns = [value.strip().lower() for value in values]
    missing = [column for column in _NEEDED if column not in columns]
    if missing:
        shown = ", ".join(repr(value.strip()[:40]) for value in values[:8])
        raise UserError(
            f"{where}: its first line must name the columns path and label (perhaps split and "
            f"classname), separated by commas; {' and '.join(map(repr, missing))} "
            f"{'is' if len(missing) == 1 else 'are'} missing, "
            f"found are {shown}"
        )
    for column in (*_NEEDED, "split", "classname"):
        if columns.count(column) > 1:
            raise UserError(f"{where}: the column {column!r} occurs twice; remove one")
    return columns


def _row(fields: Mapping[str, str], number: int, where: str) -> CsvRow:
    place = f"{where}, line {number}"
    for column in _NEEDED:
        value = fields[column]
        if not value or value.lower() in _EMPTY:
            raise UserError(f"{place}: column {column!r} is empty{f' ({value})' if value else ''}")
    label = unicodedata.normalize("NFC", fields["label"])
    split, name = fields.get("split", WHOLE), fields.get("classname", "")
    return CsvRow(
        path=in_list(fields["path"], place),
        label=label,
        split="" if split.lower() in (*_EMPTY, "none") else split_named(split) or split,
        class_name=label if name.lower() in ("", *_EMPTY) else unicodedata.normalize("NFC", name),
        line=number,
    )


def _refuse_no_split(rows: Sequence[CsvRow], where: str) -> None:
    empty = [row for row in rows if not row.split]
    if empty:
        raise UserError(
            f"{where}: {len(empty)} of {len(rows)} rows have no split, the first is line "
            f"{empty[0].line} ({empty[0].path}); write train, val or test there, or remove the rows"
        )


def _refuse_two_names(rows: Sequence[CsvRow], where: str) -> None:
    names: dict[str, str] = {}
    for row in rows:
        if names.setdefault(row.label, row.class_name) != row.class_name:
            raise UserError(
                f"{where}: label {row.label!r} has two class names, "
                f"{names[row.label]!r} and {row.class_name!r}"
            )


def _refuse_repeated(rows: Sequence[CsvRow], where: str) -> None:
    """Refuse an image that stands twice in one split, or under two labels anywhere."""
    seen: dict[str, dict[str, CsvRow]] = {}
    repeated: list[tuple[CsvRow, CsvRow]] = []
    disputed: list[tuple[CsvRow, CsvRow]] = []
    for row in rows:
        others = seen.setdefault(row.file, {})
        first = next(iter(others.values()), row)
        if first.label != row.label:
            disputed.append((first, row))
        elif row.split in others:
            repeated.append((others[row.split], row))
        others.setdefault(row.split, row)
    if disputed:
        one, other = disputed[0]
        raise UserError(
            f"{where}: {other.path} is {one.label!r} in line {one.line} and {other.label!r} in "
            f"line {other.line}"
            + (f", and {len(disputed) - 1} more rows contradict others" if disputed[1:] else "")
            + "; an image has one class, remove the rows that are wrong"
        )
    if repeated:
        one, other = repeated[0]
        raise UserError(
            f"{where}: line {other.line} repeats line {one.line} ({other.path}, {other.label})"
            + (f", and {len(repeated) - 1} more rows repeat others" if repeated[1:] else "")
            + "; remove what is repeated"
        )
