"""Published numbers: each with its source, and whether the source is the original.

`leaderboard/published/<protocol>.csv` holds one number per line: method, dataset, split, value,
shots (0: none), backbone, inference, origin, source, note, over, and metric where that is not the
default one. `origin` is "original" (the method's own authors, perhaps quoted), "re-run" (others ran
it) or "unknown". The same number may have several sources.

A `note` has clauses, separated by "; ". From one on that begins with "printed", it is about this
number only: how it contradicts the others of its source (a slip); the number stays as it is
printed. `over` is
the number of datasets behind an average, where the source says it and does not print them all.

`papers.csv` has the titles of papers, by their arXiv number or, where a paper is named only by its
venue, by the method; and an address where the number does not give it.

`methods.csv` names the methods with paradigm, paper, year (of the first version; empty where it is
not known), track (see `promptbench.report.tracks`), and the plugin that is the method, where that
has another name: no plugin can be called `coop+atprompt`. From here on it has the plugin's.
"""

from __future__ import annotations

import csv
import functools
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from promptbench.core.metric import DEFAULT
from promptbench.core.protocol import Column
from promptbench.report import averages
from promptbench.report.averages import Place

SLIP = "printed"  # how the clause of a note begins that is about one number


@dataclass(frozen=True)
class PublishedMethod:
    """A method that papers print."""

    name: str
    title: str
    paradigm: str
    paper: str
    year: str
    track: str
    printed: str

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names of method and modifier of a name such as `coop+dept`; else none."""
        return tuple(self.printed.split("+")) if "+" in self.printed else ()


@dataclass(frozen=True)
class PublishedRow:
    """One source's numbers of a method in the columns of a table, None where it prints none.

    `slips` say how a number contradicts the others of its source, empty where it does not. `over`
    counts the datasets behind each average, None where that is not known (see `averages`).
    """

    source: str
    origin: str
    note: str
    values: tuple[float | None, ...]
    slips: tuple[str, ...]
    over: tuple[int | None, ...]


@functools.cache
def lines(protocol: str) -> tuple[dict[str, str], ...]:
    """Return the published numbers of a protocol; none for a protocol that nobody prints."""
    return tuple(line | {"method": called(line["method"])} for line in _read(protocol))


@functools.cache
def methods() -> dict[str, PublishedMethod]:
    """Return all methods with published numbers, by name, in the order of their publication.

    Modifiers that are printed only on top of other methods are among them.
    """
    facts = ("title", "paradigm", "paper", "year", "track", "method")
    rows = [PublishedMethod(r["plugin"] or r["method"], *(r[f] for f in facts)) for r in _listed()]
    return {row.name: row for row in rows}


@dataclass(frozen=True)
class PaperTitle:
    """The title of a paper, and an address where its arXiv number does not give one."""

    title: str
    url: str


@functools.cache
def titles() -> Mapping[str, PaperTitle]:
    """Return the titles that are known, by arXiv number (`arXiv 2109.01134`) or by method."""
    return {
        row["method"] or row["paper"]: PaperTitle(row["title"], row["url"])
        for row in _read("papers")
    }


def called(name: str) -> str:
    """Return what a method is called here: `atprompt_coop` for the `coop+atprompt` of papers."""
    return _plugins().get(name, name)


@functools.cache
def _plugins() -> Mapping[str, str]:
    return {row["method"]: row["plugin"] for row in _listed() if row["plugin"]}


@functools.cache
def _listed() -> tuple[dict[str, str], ...]:
    return _read("methods")


def _read(name: str) -> tuple[dict[str, str], ...]:
    path = Path(str(resources.files("promptbench.leaderboard"))) / "published" / f"{name}.csv"
    if not path.is_file():
        return ()
    return tuple(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def clauses(note: str) -> tuple[str, str]:
    """Split a note into what holds for its whole row, and the slip of its one number."""
    found = [clause for clause in note.split("; ") if clause]
    first = next((i for i, c in enumerate(found) if c.startswith(SLIP)), len(found))
    return "; ".join(found[:first]), "; ".join(found[first:])


def inferences(protocol: str, method: str, metric: str = DEFAULT) -> list[str]:
    """Return the inference rules under which a method is printed, one not stated as "unified"."""
    return sorted({_inference(line) for line in _of(protocol, metric).get(called(method), ())})


def methods_at(protocol: str, metric: str = DEFAULT) -> dict[tuple[str, int], list[str]]:
    """Return the methods that are printed under each backbone and count of shots (0: none)."""
    found: dict[tuple[str, int], dict[str, None]] = defaultdict(dict)
    for method, own in _of(protocol, metric).items():
        for line in own:
            found[line["backbone"], int(line["shots"])][method] = None
    return {place: list(names) for place, names in found.items()}


def is_called(backbone: str, printed: str) -> bool:
    """Whether a backbone is the one that papers call `printed`: `ViT-B-16-quickgelu`, ViT-B/16."""
    return backbone.startswith(printed.replace("/", "-"))


def rows(
    protocol: str,
    method: str,
    inference: str,
    backbone: str,
    columns: Sequence[Column],
    metric: str = DEFAULT,
) -> list[PublishedRow]:
    """Return one row per source that prints this method with this inference and backbone."""
    by_source: dict[tuple[str, str, str], dict[Place, dict[str, str]]] = defaultdict(dict)
    for line in _of(protocol, metric).get(called(method), ()):
        if _inference(line) == inference and is_called(backbone, line["backbone"]):
            source = (line["source"], line["origin"], clauses(line["note"])[0])
            by_source[source][line["dataset"], line["split"], line["shots"]] = line
    found = [_row(source, printed, columns) for source, printed in by_source.items()]
    return [row for row in found if any(value is not None for value in row.values)]


@functools.cache
def _of(protocol: str, metric: str) -> dict[str, list[dict[str, str]]]:
    """The lines of one metric, by method."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for line in lines(protocol):
        if (line.get("metric") or DEFAULT) == metric:
            found[line["method"]].append(line)
    return dict(found)


def _inference(line: Mapping[str, str]) -> str:
    return "decoupled" if line["inference"] == "decoupled" else "unified"


def _row(
    source: tuple[str, str, str],
    printed: Mapping[Place, Mapping[str, str]],
    columns: Sequence[Column],
) -> PublishedRow:
    places = [_place(printed, column) for column in columns]
    values = {place: line["value"] for place, line in printed.items()}
    stated = {place: int(line["over"]) for place, line in printed.items() if line.get("over")}
    members = [_members(column) for column in columns]
    return PublishedRow(
        *source,
        values=tuple(float(values[place]) if place else None for place in places),
        slips=tuple(clauses(printed[place]["note"])[1] if place else "" for place in places),
        over=tuple(
            averages.counted(values, place, own, stated) if place and own else None
            for place, own in zip(places, members, strict=True)
        ),
    )


def _members(column: Column) -> list[str]:
    """The datasets that a column sums up; none for a column of one dataset."""
    return [member.published[0] for member in column.members if member.published]


def _place(printed: Mapping[Place, object], column: Column) -> Place | None:
    """Where a source prints the number of a column: with its shots, or without training."""
    if column.published is None:
        return None
    places = [(*column.published, shots) for shots in (str(column.shots), "0")]
    return next((place for place in places if place in printed), None)
