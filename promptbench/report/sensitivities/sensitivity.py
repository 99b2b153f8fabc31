"""How much a method depends on its settings, from the trials of its searches.

All numbers are validation accuracies: trials have no others. The method's own setting, the first
trial, is not drawn, and stands beside what was.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from promptbench.errors import UserError
from promptbench.records import Record, TuningInfo
from promptbench.statistics import Ends, best_between, expected_best
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

LOST = 0.0  # percent: what a trial that diverged counts as


@dataclass(frozen=True)
class Spread:
    """The drawn trials of a method on a source.

    Args:
        own: the validation accuracy of the method's own setting, None where it diverged.
        values: of the drawn trials in percent, in their order; `LOST` where one diverged.
        lost: how many diverged.
        seeds: over which each is a mean.
        name: of the method, where `method` is what it is called.
    """

    method: str
    source: str
    own: float | None
    values: tuple[float, ...]
    lost: int
    seeds: int
    name: str = ""

    @property
    def curve(self) -> list[tuple[int, float, Ends]]:
        """(k, the expected best of k trials, where the best lies in 95% of draws)."""
        every = range(1, len(self.values) + 1)
        return [(k, expected_best(self.values, k), best_between(self.values, k)) for k in every]

    @property
    def quartiles(self) -> tuple[float, ...]:
        """The least, the quartiles and the highest, interpolated linearly."""
        ordered, n = sorted(self.values), len(self.values)
        found = []
        for quarter in range(5):
            place = quarter * (n - 1) / 4
            low = int(place)
            high = min(low + 1, n - 1)
            found.append(ordered[low] + (place - low) * (ordered[high] - ordered[low]))
        return tuple(found)


@dataclass(frozen=True)
class Sample:
    """The drawn trials of a method over all its sources, for what explains their differences.

    Args:
        names: of the parameters.
        values: a row for each trial, in the order of the names.
        accuracies: of each trial, its mean over the sources.
        space: the distribution of each parameter, as a space's file says it.
    """

    method: str
    names: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    accuracies: tuple[float, ...]
    space: Mapping[str, Any]


@dataclass(frozen=True)
class Sensitivity:
    """What searches of one budget under one protocol say."""

    title: str
    budget: int
    spreads: tuple[Spread, ...]
    samples: tuple[Sample, ...]


Group = tuple[str, str, str, str, int]  # suite, protocol, backbone, weights, budget
Key = tuple[str, str, str]  # a method with what the user has changed of it, source, space


def of_records(records: Sequence[Record]) -> list[Sensitivity]:
    """The searches behind records, of each suite, protocol, backbone and budget.

    Raises:
        UserError: none of the records was tuned by more than one trial.
    """
    found: dict[Group, dict[Key, TuningInfo]] = defaultdict(dict)
    names = _names(records)
    methods: dict[str, str] = {}
    for record in records:
        info = record.tuning
        if info is not None and info.budget > 1:
            own = record.backbone
            group = (record.suite, record.protocol.name, own.name, own.sha256, info.budget)
            source = f"{record.leg.source.key}, {counted(record.source.shots, 'shot')}"
            method = names[record.method.title, _changes(record)]
            methods[method] = record.method.name
            found[group].setdefault((method, source, info.space_sha256), info)
    if not found:
        raise UserError(
            "none of these records was tuned by several trials; `promptbench tune` computes such"
        )
    return [_of_group(group, own, methods) for group, own in found.items()]


def _changes(record: Record) -> str:
    return "; ".join(sorted(record.overrides))


def _names(records: Sequence[Record]) -> dict[tuple[str, str], str]:
    """What methods are called: by their titles, with what was changed where that differs."""
    pairs = dict.fromkeys((r.method.title, _changes(r)) for r in records if r.tuning is not None)
    count = Counter(title for title, _ in pairs)
    return {
        (title, changes): f"{title} ({changes})" if count[title] > 1 and changes else title
        for title, changes in pairs
    }


def _of_group(
    group: Group, infos: Mapping[Key, TuningInfo], methods: Mapping[str, str]
) -> Sensitivity:
    suite, protocol, backbone, _, budget = group
    by_method: dict[str, list[TuningInfo]] = defaultdict(list)
    for (method, _, _), info in infos.items():
        by_method[method].append(info)
    return Sensitivity(
        printable(f"{protocol}, suite {suite}, {backbone}, {budget} trials"),
        budget,
        tuple(
            _spread(printable(method), printable(source), info, methods[method])
            for (method, source, _), info in infos.items()
        ),
        tuple(_sample(printable(method), own) for method, own in by_method.items()),
    )


def _accuracies(info: TuningInfo) -> tuple[float, ...]:
    drawn = (trial["validation"] for trial in info.trials[1:])
    return tuple(LOST if value is None else value for value in drawn)


def _spread(method: str, source: str, info: TuningInfo, name: str) -> Spread:
    lost = sum(trial["validation"] is None for trial in info.trials[1:])
    own = info.trials[0]["validation"]
    return Spread(method, source, own, _accuracies(info), lost, len(info.seeds), name)


def _sample(method: str, infos: Sequence[TuningInfo]) -> Sample:
    """Trials have the same values on every source, since they were drawn once."""
    first = infos[0]
    names = tuple(first.space)
    values = tuple(tuple(t["values"].get(name) for name in names) for t in first.trials[1:])
    same = [info for info in infos if info.space_sha256 == first.space_sha256]
    means = map(fmean, zip(*map(_accuracies, same), strict=True))
    return Sample(method, names, values, tuple(means), first.space)
