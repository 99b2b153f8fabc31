"""What methods cost, from their records: parameters, time, memory, beside what they reach.

Time and memory belong to a device. Records of one device, count of threads, precision and number
of shots make a table of their own; nothing is compared across tables.

A record holds the seconds of its training and of scoring each target: of the class side, which is
prepared once from class names, and in all, to the predictions on disk. The difference is the image
side. What a method does with class names for each image, as CoCoOp does, belongs to that. Records
from before the class side was timed hold the sum only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from promptbench import mixing
from promptbench.core.metric import Metric
from promptbench.records import Record, TargetResult
from promptbench.records.scores import Scorer, load
from promptbench.report import assemble
from promptbench.report.table import Heading, Row, Table
from promptbench.statistics import Estimate
from promptbench.support.safe_text import printable

Ends = tuple[int, int]  # the least and the most among records


@dataclass(frozen=True)
class Cost:
    """What a row of the report cost on one device, and what it reached there.

    Times are means over seeds, then over what is learned from (`sources` of them), so that no
    source counts more for its seeds; `epoch_seconds` and `training_seconds` are None where nothing
    is trained (or not in epochs). `memory_mb` is the largest peak of its cells, in MiB.
    `class_seconds`: of the class side at test time, the mean over targets; None where a record
    does not hold it. `images_per_second`: all scored test images by the seconds of the image side,
    from reading them to the predictions on disk; where `class_seconds` is None by all seconds of
    scoring. `names_learned` and `names_scored` are means of class names over sources and targets.
    `alike`: it has learned from and scored what all rows of its table together have, so that times
    are of the same work.
    """

    method: str
    title: str
    paradigm: str
    uses_split: bool
    seeds: int
    sources: int
    parameters: Ends
    epochs: Ends
    epoch_seconds: float | None
    training_seconds: float | None
    memory_mb: float
    images_per_second: float | None
    class_seconds: float | None
    names_learned: float | None
    names_scored: float
    value: Estimate | None
    alike: bool
    mixed: tuple[str, ...] = ()
    records: tuple[Record, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class CostTable:
    """The costs on one device: in a table's order, with the column whose numbers stand beside."""

    title: str
    protocol: str
    suite: str
    device: str
    threads: int
    precision: str
    shots: int
    metric: Metric
    value: Heading
    rows: tuple[Cost, ...]
    banner: str = ""

    @property
    def place(self) -> str:
        """The device as a heading: threads matter on a processor, and are harmless on a GPU."""
        return f"{self.device or 'unnamed device'}, {self.threads} CPU " + (
            "thread" if self.threads == 1 else "threads"
        )

    @property
    def value_label(self) -> str:
        """What the numbers beside the costs are: "Average HM" or, of a group, "Target Average"."""
        names = dict.fromkeys((self.value.group, self.value.title))
        return " ".join(name for name in names if name)


def costs(records: Iterable[Record], scorer: Scorer | None = None) -> list[CostTable]:
    """One table per group of records that may stand together, device, threads and shots.

    Args:
        scorer: of the metric beside the costs, by default the usual one.
    """
    scorer, records = scorer or Scorer(load()), list(records)
    return [
        _table(same, scorer, records)
        for group in mixing.tables(records)
        for same in _apart(group, _circumstances)
    ]


def _circumstances(r: Record) -> tuple[str, int, int]:
    return r.environment.device, r.environment.threads, r.source.shots


def _apart(records: Iterable[Record], by: Callable[[Record], Any]) -> list[list[Record]]:
    found: dict[Any, list[Record]] = defaultdict(list)
    for record in records:
        found[by(record)].append(record)
    return list(found.values())


def _table(records: Sequence[Record], scorer: Scorer, among: Sequence[Record]) -> CostTable:
    (made,) = assemble.of_records(records, scorer=scorer, among=among)
    own = mixing.rows(mixing.latest(records))
    number = _main(made)
    work = {piece for found in own.values() for piece in _work(found)}
    first = records[0]
    return CostTable(
        title=made.title,
        protocol=made.protocol,
        suite=printable(first.suite),
        device=printable(first.environment.device),
        threads=first.environment.threads,
        precision=printable(first.environment.precision),
        shots=first.source.shots,
        metric=scorer.metric,
        value=made.headings[number],
        rows=tuple(
            _cost(row, own[row.variant], number, work)
            for row in made.rows
            if row.kind == "ours" and row.variant in own
        ),
        banner=made.banner,
    )


def _main(table: Table) -> int:
    """The column that ranks: the last average, or the last column."""
    averages = [i for i, heading in enumerate(table.headings) if heading.summary]
    return (averages or [len(table.headings) - 1])[-1]


def _work(records: Iterable[Record]) -> set[tuple[str, str]]:
    """What was learned from, and what was scored with it."""
    return {(r.leg.source.key, target.key) for r in records for target in r.targets}


def _cost(row: Row, records: Sequence[Record], number: int, work: set[tuple[str, str]]) -> Cost:
    sources = _apart(records, lambda r: r.leg.source.key)
    targets = [target for r in records for target in r.targets]
    return Cost(
        method=records[0].method.name,
        title=row.title,
        paradigm=row.paradigm,
        uses_split=row.uses_split,
        seeds=len({r.seed for r in records}),
        sources=len(sources),
        parameters=_ends(r.method.learned_parameters for r in records),
        epochs=_ends(r.training.epochs for r in records),
        epoch_seconds=_mean(sources, _epoch_seconds),
        training_seconds=_mean(sources, _training_seconds),
        memory_mb=max(r.environment.peak_memory_mb for r in records),
        images_per_second=_images_per_second(targets),
        class_seconds=_class_seconds(targets),
        names_learned=_mean(sources, _names_learned),
        names_scored=fmean(len(target.total) for target in targets),
        value=row.entries[number],
        alike=_work(records) == work,
        mixed=row.mixed,
        records=tuple(records),
    )


def _ends(values: Iterable[int]) -> Ends:
    found = list(values)
    return min(found), max(found)


def _mean(
    sources: Sequence[Sequence[Record]], of: Callable[[Record], float | None]
) -> float | None:
    """The mean over sources of the means over their records; None where one has no value."""
    values = [[of(r) for r in own] for own in sources]
    known = [[v for v in own if v is not None] for own in values]
    return fmean(map(fmean, known)) if all(known) and known else None


def _class_seconds(targets: Sequence[TargetResult]) -> float | None:
    known = [t.class_seconds for t in targets if t.class_seconds is not None]
    return fmean(known) if len(known) == len(targets) else None


def _images_per_second(targets: Sequence[TargetResult]) -> float | None:
    images, own = sum(sum(t.total) for t in targets), [t.image_seconds for t in targets]
    known = [seconds for seconds in own if seconds is not None]
    seconds = sum(known) if len(known) == len(own) else sum(t.seconds for t in targets)
    return images / seconds if seconds > 0 else None


def _is_trained(r: Record) -> bool:
    return r.training.parameters_sha256 is not None


def _training_seconds(r: Record) -> float | None:
    return r.training.seconds if _is_trained(r) else None


def _epoch_seconds(r: Record) -> float | None:
    return r.training.seconds / r.training.epochs if _is_trained(r) and r.training.epochs else None


def _names_learned(r: Record) -> float | None:
    """The class names of the source, as the target over the same names counts them."""
    own = r.source
    for target in r.targets:
        if (target.dataset, target.names or target.classes) == (own.dataset, own.classes):
            return len(target.total)
    return None
