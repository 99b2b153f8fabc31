"""What follows from what in a protocol's table, taken from the columns that it declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from promptbench.core.protocol import Column, Leg, without_harmonic_means
from promptbench.leaderboard.checking import known
from promptbench.report import assemble


@dataclass(frozen=True)
class MeanRule:
    """An average of one split: the name under which it is printed, and the datasets behind it."""

    name: str
    split: str
    datasets: tuple[str, ...]


@dataclass(frozen=True)
class HarmonicRule:
    """A split that is the harmonic mean of two others, of a dataset and of averages alike."""

    split: str
    parts: tuple[str, str]


@dataclass(frozen=True)
class Rules:
    """All rules of a protocol."""

    means: tuple[MeanRule, ...]
    harmonic: tuple[HarmonicRule, ...]

    @property
    def averages(self) -> frozenset[str]:
        """The names under which averages are printed."""
        return frozenset(rule.name for rule in self.means)


def of_protocol(name: str) -> Rules:
    """The rules of a protocol over the datasets of the suites that compare with papers."""
    return _over(name, known.suite_names())


@cache
def _over(name: str, suites: Sequence[str]) -> Rules:
    means: dict[MeanRule, None] = {}
    harmonic: dict[HarmonicRule, None] = {}
    for suite in map(known.suite, suites):
        if suite.comparable:
            protocol, legs = assemble.usual(name, suite, None)
            columns = protocol.columns(legs)
            means |= dict.fromkeys(_means(columns))
            harmonic |= dict.fromkeys(_harmonic(columns, legs))
    splits = {rule.split for rule in harmonic}
    return Rules(tuple(rule for rule in means if rule.split not in splits), tuple(harmonic))


def _means(columns: Sequence[Column]) -> list[MeanRule]:
    return [
        MeanRule(*c.published, tuple(m.published[0] for m in c.members if m.published))
        for c in columns
        if c.published and c.members
    ]


def _harmonic(columns: Sequence[Column], legs: Sequence[Leg]) -> list[HarmonicRule]:
    """A column that a metric without harmonic means leaves undefined is one, of the other two of
    its group."""
    found = []
    for column, without in zip(columns, without_harmonic_means(columns, legs), strict=True):
        if without.defined or column.published is None:
            continue
        name, split = column.published
        parts = [
            c.published[1]
            for c in columns
            if c.published and c.published[0] == name and c.published[1] != split
        ]
        if len(parts) == 2:
            found.append(HarmonicRule(split, (parts[0], parts[1])))
    return found
