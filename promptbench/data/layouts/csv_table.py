"""Layout `csv`: a table with the columns path and label, and perhaps split and classname.

Paths are absolute, or relative to the table's folder or one that the user allows. Labels are class
names, or numbers whose names are in the column classname. The canonical order is the table's.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from promptbench.data.cards.cards import DataCard
from promptbench.data.layouts.base import Draft, ImageSource, LayoutOptions, Sample, options_of
from promptbench.data.layouts.csv_rows import CsvRow, parse
from promptbench.data.layouts.fence import Fence
from promptbench.data.layouts.files import FileSource, Tree, stamped_rows
from promptbench.data.layouts.findings import Findings
from promptbench.data.layouts.splits import (
    counts,
    label_order,
    split_named,
    splits_found,
    with_holdout,
)
from promptbench.errors import UserError
from promptbench.support.progress import Reporter
from promptbench.support.prose import counted


class CsvOptions(LayoutOptions):
    """`labels`: texts of the label column in label order; `splits`: our split -> the table's."""

    labels: list[str]
    splits: dict[str, str]
    holdout: float | None = None


def open_source(card: DataCard, location: str, listener: Reporter) -> ImageSource:
    """The images that the table names.

    Raises:
        UserError: a table that is not as it must be, labels that are not on the card, images that
            are missing.
    """
    options = options_of(card, CsvOptions)
    if len(options.labels) != len(card.classes):
        raise UserError(
            f"data card {card.name!r}: {len(options.labels)} labels, {len(card.classes)} classes"
        )
    table = Path(location).expanduser()
    tree = _tree(table)
    rows = parse(tree.fence.text(table), location)
    return FileSource(tree, _listing(table, tree, rows, options, listener))


def draft(location: str, holdout: float | None, listener: Reporter) -> Draft:
    """Classes and counts of a table."""
    table = Path(location).expanduser()
    tree = _tree(table)
    rows = parse(tree.fence.text(table), location)
    named = list(dict.fromkeys(row.split for row in rows if row.split))
    splits = splits_found(named, holdout, location, "column split must say test for some rows")
    read = set(splits.values())
    options = CsvOptions(
        labels=label_order({row.label for row in rows if row.split in read}, location),
        splits=splits,
        holdout=holdout,
    )
    names = {row.label: row.class_name for row in rows}
    listing = _listing(table, tree, rows, options, listener)
    dumped = options.model_dump(exclude_defaults=True)
    classes = [names[label] for label in options.labels]
    return Draft(classes, counts(listing), dumped, texts="labels")


def _tree(table: Path) -> Tree:
    return Tree(table.parent, Fence(table.parent))


def _listing(
    table: Path, tree: Tree, rows: Sequence[CsvRow], options: CsvOptions, listener: Reporter
) -> dict[str, list[Sample]]:
    label_of = {
        unicodedata.normalize("NFC", label): number for number, label in enumerate(options.labels)
    }
    read = {_canonical(own): split for split, own in options.splits.items()}
    used = [row for row in rows if row.split in read]
    for row in used:
        if row.label not in label_of:
            raise UserError(
                f"{table}, line {row.line}: label {row.label!r} of {row.path} is none of the "
                f"card's {len(label_of)} classes"
            )
    listing = {
        split: stamped_rows(
            tree,
            [(row.path, label_of[row.label]) for row in used if read[row.split] == split],
            str(table),
        )
        for split in options.splits
    }
    _tell_others(table, rows, set(read), listener)
    _tell_shared(table, used, listener)
    return with_holdout(listing, options.holdout)


def _canonical(own: str) -> str:
    """A card may hold another spelling of a split than rows do after parsing."""
    return split_named(own) or own


def _tell_others(table: Path, rows: Sequence[CsvRow], read: set[str], listener: Reporter) -> None:
    findings = Findings(str(table))
    for row in rows:
        if row.split not in read:
            findings.left_out("row(s)", f"line {row.line} ({row.path})", f"split {row.split!r}")
    findings.report(listener)


def _tell_shared(table: Path, rows: Sequence[CsvRow], listener: Reporter) -> None:
    """Say which images stand in more than one split; preparing them compares contents."""
    first: dict[str, CsvRow] = {}
    shared = [row for row in rows if first.setdefault(row.file, row).split != row.split]
    if shared:
        row, other = shared[0], first[shared[0].file]
        parts = Counter(f"{first[row.file].split} and {row.split}" for row in shared)
        listener.message(
            f"{table}: {counted(len(shared), 'image')} in two splits "
            f"({', '.join(f'{parts[both]} in {both}' for both in parts)}), the first is {row.path} "
            f"(line {other.line}: {other.split}, line {row.line}: {row.split}); a score on images "
            "that were trained on says nothing"
        )
