"""What a protocol is examined on: its own suites, datasets and counts of shots, and made-up scores.

Nothing is computed and no image is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptbench.config import KnownNames, suites
from promptbench.contract.traces import Traces, traces
from promptbench.contract.verdicts import require
from promptbench.core.protocol import Leg, Protocol, ScoreKey
from promptbench.core.registry import Plugin
from promptbench.data.cards import cards
from promptbench.planning.legs import legs_of
from promptbench.planning.settings import known_names, load_protocol

SHOTS = 16


@dataclass(frozen=True)
class ProtocolBench:
    """A protocol plugin, made again for every question.

    `datasets`: by suite, those that it scores without being asked for certain ones. `untouched`:
    what it holds before it is asked anything.
    """

    plugin: Plugin[Any]
    known: KnownNames
    datasets: dict[str, list[str]] = field(default_factory=dict)
    untouched: Traces = field(default_factory=dict)

    @classmethod
    def of(cls, plugin: Plugin[Any]) -> ProtocolBench:
        """The bench of a plugin, which is asked for its datasets in every suite."""
        bench = cls(plugin, known_names([plugin]))
        bench.untouched.update(bench.held())
        for suite in suites.names():
            legs = bench.made(suite).legs(SHOTS)
            bench.datasets[suite] = list(dict.fromkeys(t.dataset for g in legs for t in g.targets))
        return bench

    def made(self, suite: str) -> Protocol:
        """The protocol with the datasets that its gin file binds for a suite."""
        return load_protocol(self.plugin.name, suite, self.known)

    def held(self) -> Traces:
        """What a new one holds: its attributes, its class's, and the values of its module."""
        return traces(self.made(suites.names()[0]), None)

    def suites(self) -> list[str]:
        """The suites for which it names datasets; the demo's where it names none at all."""
        return [name for name, found in self.datasets.items() if found] or ["demo"]

    def others(self, suite: str) -> list[str]:
        """Two datasets of a suite that it does not score there by itself, or as many as there
        are."""
        known = [name for name in cards.names() if cards.load(name).suite == suite]
        return [name for name in known if name not in self.datasets[suite]][:2]

    def only(self, suite: str) -> list[str] | None:
        """The datasets to ask for, where its gin file binds none."""
        if self.datasets[suite]:
            return None
        return [name for name in cards.names() if cards.load(name).suite == suite][:2]

    def legs(self, suite: str) -> list[Leg]:
        """All its legs in a suite, with the labels of class sets, of every count of shots."""
        protocol = self.made(suite)
        counts = protocol.shot_counts(SHOTS)
        found = [leg for n in counts for leg in legs_of(protocol, n, self.only(suite))]
        require(bool(found), f"it has no leg in suite {suite}")
        return found

    def every_leg(self) -> Iterator[tuple[str, Leg]]:
        """Each leg of each suite."""
        yield from ((suite, leg) for suite in self.suites() for leg in self.legs(suite))


def scores_of(legs: Sequence[Leg]) -> dict[ScoreKey, float]:
    """A different score for every target of legs, as records would give them."""
    keys = [(leg.source.key, leg.source.shots, t.key) for leg in legs for t in leg.targets]
    return {key: 40 + 50 * (i + 1) / (len(keys) + 1) for i, key in enumerate(keys)}
