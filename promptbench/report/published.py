"""Published numbers: each with its source, and whether the source is the original.

`leaderboard/published/<protocol>.csv` holds one number per line: method, dataset, split, value,
shots (0: none), backbone, inference, origin, source, note, and metric where that is not the
default one. `origin` is "original" (the method's own
authors, perhaps quoted), "re-run" (others ran it) or "unknown". The same number may have several
sources. `methods.csv` names the methods and their paradigms.
"""

from __future__ import annotations

import csv
import functools
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from promptbench.core.metric import DEFAULT
from promptbench.core.protocol import Column


@dataclass(frozen=True)
class PublishedMethod:
    """A method that papers print."""

    name: str
    title: str
    paradigm: str


@dataclass(frozen=True)
class PublishedRow:
    """One source's numbers of a method in the columns of a table, None where it prints none."""

    source: str
    origin: str
    note: str
    values: tuple[float | None, ...]


@functools.cache
def lines(protocol: str) -> tuple[dict[str, str], ...]:
    """The published numbers of a protocol; none for a protocol that nobody prints."""
    return _read(protocol)


@functools.cache
def methods() -> dict[str, PublishedMethod]:
    """All methods with published numbers, by name, in the order of their publication."""
    rows = [PublishedMethod(r["method"], r["title"], r["paradigm"]) for r in _read("methods")]
    return {row.name: row for row in rows}


def _read(name: str) -> tuple[dict[str, str], ...]:
    path = Path(str(resources.files("promptbench.leaderboard"))) / "published" / f"{name}.csv"
    if not path.is_file():
        return ()
    return tuple(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def inferences(protocol: str, method: str, metric: str = DEFAULT) -> list[str]:
    """The inference rules under which a method is printed; one that is not stated is "unified"."""
    found = {_inference(line) for line in _of(protocol, metric) if line["method"] == method}
    return sorted(found)


def rows(
    protocol: str,
    method: str,
    inference: str,
    backbone: str,
    columns: Sequence[Column],
    metric: str = DEFAULT,
) -> list[PublishedRow]:
    """One row per source that prints this method with this inference and backbone."""
    by_source: dict[tuple[str, str, str], dict[tuple[str, str, str], float]] = defaultdict(dict)
    for line in _of(protocol, metric):
        same = (line["method"], _inference(line)) == (method, inference)
        if same and backbone.startswith(line["backbone"].replace("/", "-")):
            source = (line["source"], line["origin"], line["note"])
            place = (line["dataset"], line["split"], line["shots"])
            by_source[source][place] = float(line["value"])
    found = [
        PublishedRow(*source, tuple(_value(printed, column) for column in columns))
        for source, printed in by_source.items()
    ]
    return [row for row in found if any(value is not None for value in row.values)]


def _of(protocol: str, metric: str) -> list[dict[str, str]]:
    """The lines of one metric."""
    return [line for line in lines(protocol) if (line.get("metric") or DEFAULT) == metric]


def _inference(line: dict[str, str]) -> str:
    return "decoupled" if line["inference"] == "decoupled" else "unified"


def _value(printed: dict[tuple[str, str, str], float], column: Column) -> float | None:
    if column.published is None:
        return None
    untrained = printed.get((*column.published, "0"))
    return printed.get((*column.published, str(column.shots)), untrained)
