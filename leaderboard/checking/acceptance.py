"""What records of a run that is still to come, or of a submission, would lack on the leaderboard.

Reasons against a record are those of `checks`, asked of what is planned; a row that is accepted may
still have no average and no rank, because of datasets or seeds that it is without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from promptbench.core import selection
from promptbench.leaderboard.checking import cells, checks, known
from promptbench.planning.cells import Cell
from promptbench.planning.plan import Plan
from promptbench.records import TRIAL, Record
from promptbench.statistics import ENOUGH_SEEDS
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable

_MOST_NAMED = 4
_NO_SEED = -1  # of what learns nothing: all seeds are one


@dataclass(frozen=True)
class Row:
    """A row as far as it goes: its name, where it belongs, and its sources by seed."""

    name: str
    protocol: str
    suite: str
    shots: int
    sources: dict[int, set[str]]

    @property
    def learns(self) -> bool:
        """Whether seeds can change its numbers."""
        return _NO_SEED not in self.sources


def notes_of(plans: Sequence[Plan]) -> list[str]:
    """Return what keeps the records of plans off the leaderboard, and what their rows would lack
    there: at most one sentence each; none if nothing does."""
    against, lacks = _found(plans)
    if against:
        return [f"note: the leaderboard would refuse records of this run: {_some(against)}"]
    if not lacks:
        return []
    return [f"note: on the leaderboard this run only makes {_some(list(lacks))}"]


def brief_of(plans: Sequence[Plan]) -> list[str]:
    """Return `notes_of` in a line, for those who do not mean to submit anything."""
    against, lacks = _found(plans)
    if against:
        first = against[0].partition(";")[0]
        more = f" and {counted(len(against) - 1, 'more reason')}" if len(against) > 1 else ""
        return [
            f"note: the leaderboard would refuse records of this run: {first}{more} "
            "(`promptbench plan` says more)"
        ]
    if not lacks:
        return []
    short = ", ".join(dict.fromkeys(lacks.values()))
    return [f"note: incomplete for the leaderboard: {short} (`promptbench plan` says more)"]


def _found(plans: Sequence[Plan]) -> tuple[list[str], dict[str, str]]:
    """What speaks against the cells of plans, and what their rows lack as `lacking` says it."""
    planned = [cell for made in plans for cell in made.cells if cell.preset != TRIAL]
    against = list(dict.fromkeys(reason for cell in planned for reason in _against(cell)))
    if against:
        return against, {}
    lacks: dict[str, str] = {}
    for row in _rows_of_cells(planned):
        lacks |= lacking(row)
    changed = dict.fromkeys(text for cell in planned for text in cell.overrides)
    if changed:
        lacks[f"a row of its own for changed settings ({_some(list(changed))})"] = (
            "changed settings"
        )
    return [], lacks


def warnings_of(records: Sequence[Record], standing: Sequence[Record]) -> list[str]:
    """Return a warning for each row of submitted records that is incomplete even beside those that
    stand on the leaderboard."""
    own = {cells.row_of(record) for record in records}
    together = [*records, *(r for r in standing if cells.row_of(r) in own)]
    return [
        f"incomplete: {row.name} ({row.protocol}, {row.suite}, {counted(row.shots, 'shot')}): "
        f"{'; '.join(lacks)}"
        for row in _rows_of_records(together)
        if (lacks := lacking(row))
    ]


def lacking(row: Row) -> dict[str, str]:
    """Return what a row lacks for an average and for a rank: phrases, each with its short form."""
    if row.protocol not in known.protocol_names() or row.suite not in known.suite_names():
        return {}
    usual = list(
        dict.fromkeys(leg.source.dataset for leg in known.legs(row.protocol, row.suite, row.shots))
    )
    have = set().union(*row.sources.values())
    missing = [name for name in usual if name not in have]
    found: dict[str, str] = {}
    if missing:
        some = f"{len(missing)} of {counted(len(usual), 'dataset')} missing"
        found[f"rows without an average ({some}: {_some(missing)})"] = some
    for seed, own in sorted(row.sources.items()):
        if gaps := [name for name in usual if name in have - own]:
            phrase = f"rows without an average (seed {seed} lacks {_some(gaps)})"
            found[phrase] = "seeds that lack datasets"
    if row.learns and len(row.sources) < ENOUGH_SEEDS:
        seeds = counted(len(row.sources), "seed")
        found[f"rows without a rank ({seeds}; a rank takes {ENOUGH_SEEDS})"] = (
            f"{seeds} of {ENOUGH_SEEDS}"
        )
    return found


def _against(cell: Cell) -> Iterator[str]:
    leg = cell.leg
    used = {leg.source.dataset, *(target.dataset for target in leg.targets)}
    unknown = list(checks.unknown(cell.suite, cell.protocol, used))
    yield from unknown
    if not unknown:
        rule = selection.recorded(cell.selection)
        yield from checks.scope(cell.protocol, cell.protocol_version, rule, cell.limit)
        yield from checks.coverage(cell.protocol, cell.suite, leg)


def _rows_of_cells(planned: Iterable[Cell]) -> list[Row]:
    rows: dict[cells.Key, Row] = {}
    for cell in planned:
        shots = cell.leg.source.shots
        name, chosen = cell.method.name, selection.recorded(cell.selection)
        key = (name, cell.protocol, cell.suite, shots, cell.inference, chosen, *cell.overrides)
        row = rows.setdefault(key, Row(name, cell.protocol, cell.suite, shots, {}))
        seed = cell.seed if cell.learns else _NO_SEED
        row.sources.setdefault(seed, set()).add(cell.leg.source.dataset)
    return list(rows.values())


def _rows_of_records(records: Iterable[Record]) -> list[Row]:
    rows: dict[cells.Key, Row] = {}
    for r in records:
        name = printable(r.method.title)
        made = Row(name, r.protocol.name, r.suite, r.source.shots, {})
        row = rows.setdefault(cells.row_of(r), made)
        seed = _NO_SEED if r.method.paradigm == "zero-shot" else r.seed
        row.sources.setdefault(seed, set()).add(r.source.dataset)
    return list(rows.values())


def _some(names: Sequence[str]) -> str:
    """The first of them, and how many more: words with commas, phrases with semicolons."""
    more = [f"and {len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    between = "; " if any(" " in name for name in names) else ", "
    return between.join([*names[:_MOST_NAMED], *more])
