"""What goes wrong, as plain data: one object for each row of a report and what it was scored on.

Records of one row that differ in nothing but their seed are put together: every image counts once
for each seed. Where no seed can change anything, so that all have the same predictions, it counts
once. Targets whose images compete over the same names, some of them not learned, are shown apart
and then together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np

from promptbench import mixing
from promptbench.core.answers import Answers
from promptbench.core.calibration import Bins, binned
from promptbench.core.pooling import learned_places, pools
from promptbench.core.protocol import Target
from promptbench.data.cards import cards
from promptbench.data.cards.cards import DataCard
from promptbench.errors import UserError
from promptbench.planning import standing
from promptbench.records import Record, TargetResult
from promptbench.records.scores import Folders, file_of
from promptbench.records.verify import read_table
from promptbench.report import assemble, gather
from promptbench.report.mistakes import notes
from promptbench.report.mistakes.confusions import Confusions
from promptbench.report.mistakes.surest import Mistake, surest
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable


@dataclass(frozen=True)
class Errors:
    """What went wrong in one row of a report, on one target or an open label space.

    `names` are the class names that competed, by label; `learned` the labels of those that were
    learned, where others competed with them. `bins` and `mistakes` (surest first) are None where
    no predictions with probabilities are at hand; `calibration` is the error in percent of each
    seed that has one. `seeds` are those of the records, `files` is how often each image counts.
    `notes` say what is missing and how it was put together. `records` are its own.
    `table` is the title of the row's table; empty where there is none.
    """

    title: str
    method: str
    key: str
    dataset: str
    split: str
    source: str
    shots: int
    seeds: tuple[int, ...]
    files: int
    names: tuple[str, ...]
    learned: tuple[int, ...] | None
    confusions: Confusions
    bins: Bins | None
    calibration: tuple[float, ...]
    mistakes: tuple[Mistake, ...] | None
    notes: tuple[str, ...]
    table: str
    protocol: str
    suite: str
    banner: str
    uses_split: bool
    records: tuple[Record, ...]
    backbone: str = ""

    @property
    def whose(self) -> str:
        """Whose errors these are, and on what: `CoOp, dtd/new`, with what it learned from where
        that is another dataset, and with its backbone where others are shown beside it."""
        learned = self.source.partition("/")[0]
        apart = f" (learned from {self.source})" if learned != self.dataset else ""
        built = f", {self.backbone}" if self.backbone else ""
        return f"{self.title}, {self.key}{apart}{built}"

    @property
    def heading(self) -> str:
        """The same with the number of shots."""
        return f"{self.whose}, {counted(self.shots, 'shot')}"

    @property
    def mean_calibration(self) -> float | None:
        """The mean over seeds of the calibration error, as a report of that metric has it."""
        return fmean(self.calibration) if self.calibration else None

    @property
    def calibrated(self) -> int:
        """How often an image counts in bins and mistakes: seeds with confidences."""
        return len(self.calibration)

    def name(self, label: int) -> str:
        """A class name, on one line."""
        return self._names_on_a_line[label]

    @cached_property
    def _names_on_a_line(self) -> list[str]:
        return list(map(printable, self.names))


def errors(
    records: Iterable[Record], folders: Folders, datasets: Collection[str] | None = None
) -> list[Errors]:
    """What went wrong in records: row by row of their tables, target by target.

    Args:
        folders: where predictions lie; a target without any shows what its record holds.
        datasets: only targets of these.

    Raises:
        UserError: predictions that are damaged.
    """
    found, records = [], list(records)
    groups = list(mixing.tables(records))
    called = [gather.backbone_called(group[0], records) for group in groups]
    for group, own_backbone in zip(groups, called, strict=True):
        (made,) = assemble.of_records(group, among=records)
        backbone = own_backbone if len(set(called)) > 1 else ""
        own = mixing.rows(mixing.latest(group))
        for row in made.rows:
            if row.kind == "ours" and row.variant in own:
                about = _About(row.title, made.title, made.banner, backbone)
                found += _of_row(about, own[row.variant], folders, datasets)
    return found


def of_record(
    record: Record,
    folders: Folders,
    datasets: Collection[str] | None = None,
    most: int | None = None,
) -> list[Errors]:
    """What went wrong in one record, as `errors`, but without its table: it is called by its
    method. At least the `most` surest mistakes are named, or all."""
    about = _About(printable(record.method.title), "", standing.of_records([record]).banner)
    return _of_row(about, [record], folders, datasets, most)


def of_targets(record: Record) -> list[tuple[TargetResult, ...]]:
    """What a record shows of itself: each target, and after its last the whole open label space."""
    by_key = {target.key: target for target in record.targets}
    spaces = [tuple(by_key[t.key] for t in pool.targets) for pool in pools(record.leg)]
    found: list[tuple[TargetResult, ...]] = []
    for target in record.targets:
        found.append((target,))
        found += [space for space in spaces if len(space) > 1 and space[-1] is target]
    return found


@dataclass(frozen=True)
class _About:
    """What mistakes are shown under: titles of row and table, the suite's banner and, where others
    are beside it, the backbone."""

    title: str
    table: str
    banner: str
    backbone: str = ""


def _of_row(
    about: _About,
    records: Sequence[Record],
    folders: Folders,
    datasets: Collection[str] | None,
    most: int | None = None,
) -> list[Errors]:
    parts: dict[tuple[str, int, str], list[_Part]] = defaultdict(list)
    for record in sorted(records, key=lambda r: r.seed):
        source = record.leg.source
        for targets in of_targets(record):
            if datasets is None or targets[0].dataset in datasets:
                part = _Part(record, targets)
                parts[source.key, source.shots, part.key].append(part)
    return [_errors(about, own, folders, most) for own in parts.values()]


@dataclass(frozen=True)
class _Part:
    """One record's share: a target, or several that make an open label space."""

    record: Record
    targets: tuple[TargetResult, ...]

    @property
    def key(self) -> str:
        first = self.targets[0]
        if len(self.targets) == 1:
            return first.key
        named = f"-of-{first.names}" if first.names else ""
        return f"{first.dataset}/{'+'.join(t.classes for t in self.targets)}{named}"

    @property
    def leg_target(self) -> Target:
        """Its first target as the protocol says it."""
        key = self.targets[0].key
        return next(target for target in self.record.leg.targets if target.key == key)

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        return tuple(map(file_of, self.targets))

    def read(self, folders: Folders) -> tuple[list[str], Answers] | None:
        """The keys of its images and the answers to them; None if predictions are not there."""
        if not all(file in folders for file in self.files):
            return None
        tables = [read_table(t, folders[file_of(t)]) for t in self.targets]
        answers = [
            table.answers(len(t.total), t.learned)
            for table, t in zip(tables, self.targets, strict=True)
        ]
        return [key for table in tables for key in table.keys], Answers.joined(answers)

    def counted(self) -> Confusions:
        return Confusions.joined([Confusions.of_target(target) for target in self.targets])


def _errors(about: _About, parts: Sequence[_Part], folders: Folders, most: int | None) -> Errors:
    first = parts[0]
    same = len({part.files for part in parts}) == 1  # no seed changes anything
    confusions, read = [], []
    bins: list[Bins] = []
    without, labels_only = [], []
    for part in parts[:1] if same else parts:
        seed, found = part.record.seed, part.read(folders)
        if found is None:
            confusions.append(part.counted())
            without.append(seed)
            continue
        keys, answers = found
        confusions.append(Confusions.of_answers(answers))
        if answers.confidence is None:
            labels_only.append(seed)
            continue
        bins.append(binned(answers))
        read.append((seed, keys, answers))
    card = _card(first)
    names, unnamed = _names(first, card)
    seeds = tuple(part.record.seed for part in parts)
    together = Confusions.joined(confusions)
    target = first.targets[0]
    said = [
        *notes.pooled(seeds, same, [seed for seed, *_ in read]),
        *notes.absent(without, labels_only, together, target.labels_only),
        *unnamed,
    ]
    return Errors(
        title=about.title,
        method=first.record.method.name,
        key=first.key,
        dataset=target.dataset,
        split=target.split,
        source=first.record.leg.source.key,
        shots=first.record.source.shots,
        seeds=seeds,
        files=len(confusions),
        names=names,
        learned=_learned(first, card),
        confusions=together,
        bins=_added(bins) if bins else None,
        calibration=tuple(e for b in bins if (e := b.error) is not None),
        mistakes=surest(read, most) if read else None,
        notes=tuple(said),
        table=about.table,
        protocol=first.record.protocol.name,
        suite=first.record.suite,
        banner=about.banner,
        uses_split=first.record.inference == "decoupled",
        records=tuple(part.record for part in parts),
        backbone=about.backbone,
    )


def _added(parts: Sequence[Bins]) -> Bins:
    names = ("images", "right", "confidence", "gap")
    return Bins(*(np.sum([getattr(part, name) for part in parts], axis=0) for name in names))


def _card(part: _Part) -> DataCard | str:
    """The card that a record's class names are of, or why it is not known here."""
    target, record = part.targets[0], part.record
    known = record.data.get(target.dataset)
    try:
        card = cards.load(target.dataset)
    except UserError:
        return f"there is no card of {target.dataset} here"
    if known is None:
        return "the record does not say of which card its class names are"
    if known.card_sha256 != card.digest:
        return f"the card of {target.dataset} here is not the one of the record"
    if len(part.leg_target.competing_in(len(card.classes))) != len(target.total):
        return f"the card of {target.dataset} has other classes than the record"
    return card


def _names(part: _Part, card: DataCard | str) -> tuple[tuple[str, ...], list[str]]:
    """The names that competed, by label, and a word where they are not known here."""
    if isinstance(card, str):
        numbered = tuple(f"class {label}" for label in range(len(part.targets[0].total)))
        return numbered, [f"classes by their place among the names that competed, from 0: {card}"]
    labels = part.leg_target.competing_in(len(card.classes))
    return tuple(card.classes[label] for label in labels), []


def _learned(part: _Part, card: DataCard | str) -> tuple[int, ...] | None:
    """The labels of learned names where others compete; schema 1 does not say them."""
    found = part.targets[0].learned
    if found is None and part.record.labels_only and not isinstance(card, str):
        found = learned_places(part.record.leg.source, part.leg_target, len(card.classes))
    return None if found is None else tuple(found)
