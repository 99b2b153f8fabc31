"""Rows of numbers, one per quantity, and means over datasets and seeds of them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace

from promptbench.report.flat import safe
from promptbench.statistics import ANY, Ends, Estimate, estimate


@dataclass(frozen=True)
class Number:
    """One number of one run, or over runs.

    Args:
        title, method: the run's method, as tables call it and by its name.
        dataset, seed: the source it learned from, and its seed (None: over several).
        epoch: of the training, 0 before it; None: the parameters of the record.
        target: "base", "new", or the other dataset whose images were looked at.
        part: what was looked at: a stage, a group of tokens, a feature.
        block: the block, counted from 1; None where it is none.
        item: the class, for numbers per class.
        quantity, value: the number.
        bounds: the least and the most that it can be, to which intervals keep; in no table.
    """

    title: str
    method: str
    dataset: str
    seed: int | None
    epoch: int | None
    target: str
    part: str
    block: int | None
    item: str
    quantity: str
    value: float
    bounds: Ends = ANY


def as_csv(rows: Iterable[Number]) -> str:
    """A table with a header; what is None is empty, and no text is a formula to a spreadsheet."""
    text = io.StringIO()
    names = [field.name for field in fields(Number) if field.name != "bounds"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: safe(getattr(row, name)) for name in names})
    return text.getvalue()


def select(rows: Iterable[Number], **wanted: object) -> list[Number]:
    """The rows whose columns have these values; of a tuple, one of them."""
    return [
        row
        for row in rows
        if all(
            getattr(row, name) in value if isinstance(value, tuple) else getattr(row, name) == value
            for name, value in wanted.items()
        )
    ]


def halves(rows: Iterable[Number]) -> list[Number]:
    """The rows with whatever is not the base classes as new."""
    return [r if r.target == "base" else replace(r, target="new") for r in rows]


def average(rows: Sequence[Number]) -> Estimate | None:
    """The mean over datasets (and targets) and seeds, with its spread over seeds.

    A seed's value is the mean over its datasets; None without rows. Values that are equal in all
    seeds, such as those of a method that learns nothing, have no spread.
    """
    if not rows:
        return None
    by_seed: dict[int | None, list[float]] = defaultdict(list)
    for row in rows:
        by_seed[row.seed].append(row.value)
    seeds = [sum(values) / len(values) for values in by_seed.values()]
    lows, highs = zip(*(row.bounds for row in rows), strict=True)
    bounds = min(lows), max(highs)
    return estimate(sum(seeds) / len(seeds), seeds, bounds, drawn=False)


def curve(
    rows: Iterable[Number], along: Callable[[Number], int | None]
) -> list[tuple[int, Estimate]]:
    """Averages along a block or an epoch, in its order."""
    at: dict[int, list[Number]] = defaultdict(list)
    for row in rows:
        place = along(row)
        if place is not None:
            at[place].append(row)
    averages = ((place, average(at[place])) for place in sorted(at))
    return [(place, found) for place, found in averages if found is not None]


def label(row: Number, compared: bool) -> str:
    """The series a row belongs to: its method, or within one method its dataset."""
    return row.title if compared else row.dataset
