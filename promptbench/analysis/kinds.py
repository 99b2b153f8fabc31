"""Which runs may stand in one figure, and which of them count in its averages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptbench import mixing
from promptbench.records import Record
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

if TYPE_CHECKING:
    from promptbench.analysis.runs import Run


@dataclass(frozen=True)
class Kind:
    """Runs that may be compared: what tables keep apart, and records of another limit, are others.

    `marks` tell it from other kinds of a study with the same suite, protocol and number of shots.
    """

    runs: tuple[Run, ...]
    marks: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """The kind in words."""
        record = self.runs[0].record
        shots = counted(record.source.shots, "shot")
        return ", ".join((record.suite, record.protocol.name, shots, *self.marks))

    @property
    def mixed(self) -> list[str]:
        """What the runs of each title were not computed alike with, such as versions."""
        titles = dict.fromkeys(run.title for run in self.runs)
        rows = {title: [r.record for r in self.runs if r.title == title] for title in titles}
        return [
            printable(f"{title}: {text}")
            for title, row in rows.items()
            for text in mixing.marks(row)
        ]

    @property
    def suffix(self) -> str:
        """What the marks add to the name of a folder."""
        return "".join("-" + re.sub(r"[^\w.]+", "-", mark) for mark in self.marks)


def kinds(runs: Sequence[Run]) -> list[Kind]:
    """The kinds of runs, in the order of suite, protocol and shots; runs keep theirs."""
    place = {id(run.record): number for number, run in enumerate(runs)}
    found: dict[tuple[int, int, int], list[Run]] = defaultdict(list)
    for number, group in enumerate(mixing.tables([run.record for run in runs])):
        for record in sorted(group, key=lambda record: place[id(record)]):
            key = (number, record.source.shots, record.limit or 0)
            found[key].append(runs[place[id(record)]])
    alike: dict[tuple[str, str, int], list[list[Run]]] = defaultdict(list)
    for kind in found.values():
        record = kind[0].record
        alike[record.suite, record.protocol.name, record.source.shots].append(kind)
    return [made for key in sorted(alike) for made in _marked(alike[key])]


def _marked(alike: Sequence[list[Run]]) -> list[Kind]:
    """Kinds of one suite, protocol and number of shots, marked by what they differ in."""
    facts = [_facts(runs[0].record) for runs in alike]
    differing = [n for n, column in enumerate(zip(*facts, strict=True)) if len(set(column)) > 1]
    marked = [
        Kind(tuple(runs), tuple(own[n] for n in differing))
        for runs, own in zip(alike, facts, strict=True)
    ]
    return sorted(marked, key=lambda kind: kind.marks)


def _facts(record: Record) -> tuple[str, ...]:
    return (
        f"protocol version {record.protocol.version}",
        record.backbone.name,
        f"weights {record.backbone.sha256[:8]}",
        ", ".join(record.backbone.preprocess.marks) or "the usual preprocessing",
        record.environment.precision,
        f"images of {record.backbone.image_size} pixels",
        "all images" if record.limit is None else f"first {record.limit} images",
    )


def complete(runs: Sequence[Run], series: Callable[[Run], Hashable]) -> list[Run]:
    """The runs whose seed has every dataset and target that another seed of its series has.

    An average over the datasets of a seed that lacks one is an average of something else.
    """
    scored: dict[Hashable, dict[int, set[tuple[str, str]]]] = defaultdict(lambda: defaultdict(set))
    for run in runs:
        source = run.record.source.dataset
        targets = {run.name(target) for target in (run.reference, *run.shifted)}
        scored[series(run)][run.record.seed] |= {(source, target) for target in targets}
    return [
        run
        for run in runs
        if (of_series := scored[series(run)])[run.record.seed] == set().union(*of_series.values())
    ]
