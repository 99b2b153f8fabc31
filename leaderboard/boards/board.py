"""What a board is: the rows of a protocol in a suite, and what each says of its numbers.

`promptbench.leaderboard.boards.building` makes them, from accepted records and papers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from promptbench.config.suites import Suite
from promptbench.core.metric import DEFAULT, Metric
from promptbench.core.selection import USUAL
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.report import tracks
from promptbench.report.text import MIXED
from promptbench.statistics import Estimate

ACCURACY_ONLY = "accuracy only"
PROVENANCE = {  # where a row's numbers come from, and what that means
    "original": "published by the method's own authors, perhaps quoted by others",
    "re-run": "published by others who ran the method themselves",
    "unknown": "published, whether the method's authors computed it is not known",
    "reported": "a record that was submitted without its predictions",
    "consistent": "records whose counts were computed again from their predictions",
    "verified": "records whose images and labels are also those of the datasets",
    "recomputed": "records whose predictions were also computed again",
}
State = Literal["published", "reported", "consistent", "verified", "recomputed"]


@dataclass(frozen=True)
class BoardColumn:
    """A column of a board: group and title as in the table; `main` is the column that ranks.

    `members` counts the columns that a summary sums up, one per dataset; `parts` are their keys.
    """

    key: str
    group: str
    title: str
    summary: bool
    main: bool = False
    members: int = 0
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class BoardRow:
    """A row: who, under which circumstances, with which numbers.

    `values` are estimates in the board's metric by column; `differences` are value minus the best
    published one in that column. `own_difference`: main value minus the best that is published of
    the same method. `accepted` are the verdicts behind our own rows; `parameters` counts what is
    learned; `mixed` is what the records do not have in common; `seconds` is the mean time of a
    training. `rank` is the first and last place that paired tests leave open, None where there are
    none. `track` is what the method may learn from, `settings` what its settings were chosen by,
    `selection` which of a training's states is scored, `around` what is unusual about weights and
    precision: `promptbench.report.tracks` says which rows compete by these. `over` counts the
    datasets of each average, None where no source says it; `slips` say how a printed number
    contradicts its source. `best` and `second` are the columns in which the row has these places
    among rows of several seeds.
    """

    id: str
    method: str
    title: str
    paradigm: str
    state: State
    preset: str
    inference: str
    backbone: str
    shots: int
    n: int
    uses_split: bool
    values: dict[str, Estimate]
    differences: dict[str, float] = field(default_factory=dict)
    own_difference: float | None = None
    rank: tuple[int, int] | None = None
    parameters: int | None = None
    seconds: float | None = None
    source: str = ""
    origin: str = ""
    note: str = ""
    mixed: tuple[str, ...] = ()
    accepted: tuple[Verdict, ...] = ()
    track: str = tracks.INDUCTIVE
    settings: tuple[str, ...] = (tracks.PAPER,)
    selection: str = USUAL
    around: str = ""
    over: dict[str, int | None] = field(default_factory=dict)
    slips: dict[str, str] = field(default_factory=dict)
    best: frozenset[str] = frozenset()
    second: frozenset[str] = frozenset()

    @property
    def competes(self) -> bool:
        """Whether the row knows only what others do."""
        return not self.uses_split

    @property
    def provenance(self) -> str:
        """Where the numbers come from: of papers' whether they are the original or a re-run (see
        `PROVENANCE`), else the state of the records."""
        if self.state != "published":
            return self.state
        return self.origin if self.origin in ("original", "re-run") else "unknown"

    @property
    def identity(self) -> str:
        """What a link can name the row by: it changes with what the row is, not with its place."""
        facts = (self.method, self.title, self.inference, self.preset, self.backbone, self.shots)
        text = repr((*facts, self.state == "published", self.source, self.origin, self.note))
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]

    @property
    def marked_title(self) -> str:
        """The title with the mark of a row whose records were not all computed alike."""
        return f"{self.title} {MIXED}" if self.mixed else self.title

    @property
    def rule(self) -> str:
        """Which of a training's states is scored, of our own rows; papers seldom say it."""
        return "as its paper" if self.state == "published" else self.selection

    @property
    def accuracy_only(self) -> str:
        """What stands beside the state of a row with records of schema 1; "" without any."""
        found = sum(verdict.accuracy_only for verdict in self.accepted)
        some = f": {found} of {len(self.accepted)}" if found < len(self.accepted) else ""
        return f"{ACCURACY_ONLY}{some}" if found else ""


@dataclass(frozen=True)
class Board:
    """All rows of a protocol in a suite, in one metric, best first."""

    protocol: str
    suite: Suite
    metric: Metric
    columns: tuple[BoardColumn, ...]
    rows: tuple[BoardRow, ...]
    on_one_data: bool = True  # else rows were scored on other images or class names than others
    remarks: tuple[str, ...] = ()  # why the metric has no value somewhere

    @property
    def main(self) -> str:
        """The key of the column that ranks."""
        return self.main_column.key

    @property
    def main_column(self) -> BoardColumn:
        """The column that ranks."""
        return next(column for column in self.columns if column.main)


def of_default_metric(boards: Sequence[Board]) -> list[Board]:
    """The boards in the metric that papers print: one per protocol and suite."""
    return [board for board in boards if board.metric.name == DEFAULT]


def board_id(suite: Suite, metric: Metric) -> str:
    """What distinguishes a board from the others of its page."""
    return suite.name if metric.name == DEFAULT else f"{suite.name}-{metric.name}"


def published_sources(boards: Sequence[Board]) -> int:
    """How many rows of papers the boards show."""
    return sum(row.state == "published" for board in boards for row in board.rows)
