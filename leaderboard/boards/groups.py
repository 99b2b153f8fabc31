"""The groups of a board: records that may stand in one table, and what only papers print.

Papers print numbers of other backbones and counts of shots than a suite's. Each of them is a group
of its own, with its own best number and differences, as groups of records are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptbench.config.suites import Suite
from promptbench.core.metric import Metric
from promptbench.leaderboard.checking import known
from promptbench.planning.standing import of_records as suite_of
from promptbench.records import Record
from promptbench.report import published


@dataclass(frozen=True)
class Group:
    """What shares a table: records, if any, and the methods whose published numbers belong to it.

    `shots` is None where one table has all counts of shots.
    """

    records: Sequence[Record]
    suite: Suite
    shots: int | None
    printed: Sequence[str]

    @property
    def backbone(self) -> str:
        """The backbone of all its numbers."""
        return self.records[0].backbone.name if self.records else self.suite.backbone


def grouped(
    protocol: str, suite: Suite, tables: Sequence[Sequence[Record]], metric: Metric
) -> list[Group]:
    """The groups of a board, those of records first, which `mixing.tables` has sorted."""
    together = known.protocol(protocol).cls.shots_together
    printed = published.methods_at(protocol, metric.name) if suite.comparable else {}
    found = []
    for own in tables:
        first = own[0]
        beside = _beside(printed, first.backbone.name, None if together else first.source.shots)
        names = beside if suite_of(own).comparable else []
        found.append(Group(own, suite, first.source.shots, names))
    for backbone, shots in _places(printed, suite, together):
        if not any(_covers(group, backbone, shots) for group in found):
            name = backbone.replace("/", "-")
            usual = published.is_called(suite.backbone, backbone)
            own_suite = suite if usual else suite.model_copy(update={"backbone": name})
            names = _beside(printed, own_suite.backbone, shots, untrained=shots == suite.shots)
            found.append(Group([], own_suite, shots, names))
    return found


Printed = dict[tuple[str, int], list[str]]  # see `published.methods_at`


def _places(printed: Printed, suite: Suite, together: bool) -> list[tuple[str, int | None]]:
    """The backbones and counts of shots that are printed, the suite's first."""
    if together:
        return list(dict.fromkeys((backbone, None) for backbone, _ in printed))
    trained = [(backbone, shots) for backbone, shots in printed if shots]
    return sorted(
        trained,
        key=lambda place: (
            not published.is_called(suite.backbone, place[0]),
            place[1] != suite.shots,
        ),
    )


def _beside(
    printed: Printed, backbone: str, shots: int | None, untrained: bool = True
) -> list[str]:
    """The methods that are printed under a backbone with so many shots; with all, where that is
    None. `untrained`: also those without training."""
    wanted = {
        method
        for (called, count), methods in printed.items()
        if published.is_called(backbone, called)
        and (shots is None or count == shots or (untrained and not count))
        for method in methods
    }
    return [name for name in published.methods() if name in wanted]


def _covers(group: Group, backbone: str, shots: int | None) -> bool:
    """Whether a group already shows what is printed under a backbone with so many shots."""
    same = published.is_called(group.backbone, backbone)
    return bool(group.printed) and same and shots in (None, group.shots)
