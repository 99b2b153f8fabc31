"""How the plans of an output folder stand, from what lies there; whoever computes them.

Only names and small files are looked at: records count by being there, and are not verified.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptbench.errors import UserError
from promptbench.storage.reading import parse_json, read_bytes
from promptbench.workers.looking_on import pace
from promptbench.workers.looking_on.holders import Holder
from promptbench.workers.looking_on.logs import Attempt, last_attempt
from promptbench.workers.plan import places, roster
from promptbench.workers.plan.roster import Entry

RECORD, FAILED, TRAINED = "record.json", "failed.log", "training.json"
_LATELY = 3600.0  # seconds over which the rate is taken
_FEWEST = 60.0  # seconds; a rate over less says nothing
_MOST = 2**20  # bytes of a note

HoldersOf = Callable[[Path, Sequence[str]], Sequence[Holder]]


@dataclass(frozen=True)
class Failed:
    """A cell that failed, with the first line of its log."""

    entry: Entry
    reason: str
    log: Path


@dataclass(frozen=True)
class Underway:
    """A cell that somebody holds, and what its log says of it."""

    entry: Entry
    host: str | None = None
    job: str | None = None
    seconds: float | None = None  # since it began
    epoch: int = 0  # that have ended
    silent: float | None = None  # seconds since its holder was heard of
    stale: bool = False


@dataclass(frozen=True)
class Cells:
    """The cells of a plan, or of all plans of a folder.

    Args:
        begun: how many of those left somebody has begun before, and left.
        died: cells, each with the number of times that who computed it has died.
        per_hour: cells that were done per hour, lately; None where that says nothing.
        seconds_left: until all are done, by as many as are at it now; None: not known.
    """

    entries: Sequence[Entry]
    done: int
    failed: Sequence[Failed]
    underway: Sequence[Underway]
    left: int
    begun: int
    died: Sequence[tuple[Entry, int]]
    per_hour: float | None
    seconds_left: float | None

    @property
    def total(self) -> int:
        return len(self.entries)


@dataclass(frozen=True)
class PlanStanding:
    """A plan: its cells, unless `problem` says why they cannot be read, and what came of it."""

    id: str
    folder: Path
    cells: Cells | None
    problem: str | None = None
    cancelled: str | None = None
    jobs: str | None = None
    refusals: Sequence[str] = ()


@dataclass(frozen=True)
class Standing:
    """An output folder: all of its cells, each once, and its plans."""

    out: Path
    whole: Cells
    plans: Sequence[PlanStanding]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of what can be read, but in plans that were cancelled."""
        left = [plan.cells for plan in self.plans if plan.cells and plan.cancelled is None]
        return not self.whole.underway and not any(cells.left for cells in left)

    @property
    def problems(self) -> list[str]:
        return [each.problem for each in self.plans if each.problem is not None]


def of_folder(
    out: Path,
    holders_of: HoldersOf,
    deaths_of: Callable[[Path, str], int] = lambda out, folder: 0,
    now: Callable[[], float] = time.time,
) -> Standing:
    """How the plans of an output folder stand.

    Args:
        holders_of: who holds cells, of the output folder and the ids of cells.
        deaths_of: how often who computed a cell has died, of the output folder and the cell's.
        now: the clock that files and logs are compared with, in seconds since the epoch.

    Raises:
        UserError: there is no such folder, or no plan in it.
    """
    if not out.is_dir():
        raise UserError(f"{out} is not a folder; pass the output folder of a run")
    folders = places.folders(out)
    if not folders:
        raise UserError(
            f"no plan files in {out / places.WORK}: `promptbench run --on ...` writes them, for "
            "executors on other machines (`promptbench plan` says how a run on this one stands)"
        )
    read = {folder: _cells_in(folder) for folder in folders}
    of_all = [entries for entries in read.values() if not isinstance(entries, str)]
    look = _Look(out, of_all, holders_of, deaths_of, now)
    whole = look.of(list(look.entries.values()))
    return Standing(out, whole, [_plan(folder, found, look) for folder, found in read.items()])


def of_cells(
    out: Path,
    entries: Sequence[Entry],
    holders_of: HoldersOf,
    deaths_of: Callable[[Path, str], int] = lambda out, folder: 0,
    now: Callable[[], float] = time.time,
) -> Cells:
    """How some cells stand; arguments as of `of_folder`."""
    return _Look(out, [entries], holders_of, deaths_of, now).of(entries)


def _cells_in(folder: Path) -> tuple[Entry, ...] | str:
    """The cells of a plan, or why they cannot be read."""
    try:
        return roster.read(folder)
    except UserError as error:
        return str(error)


def _plan(folder: Path, found: tuple[Entry, ...] | str, look: _Look) -> PlanStanding:
    return PlanStanding(
        folder.name,
        folder,
        None if isinstance(found, str) else look.of(found),
        found if isinstance(found, str) else None,
        _note(folder / places.CANCELLED),
        _jobs(folder / places.JOBS),
        refusals(folder),
    )


def refusals(folder: Path) -> list[str]:
    """What workers said that could not take part in a plan, each sentence once."""
    said = (_note(path) for path in sorted((folder / places.REFUSALS).glob("*.txt")))
    return list(dict.fromkeys(text for text in said if text))


def _note(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        return read_bytes(path, _MOST, "the note").decode("utf-8", "replace").strip()
    except UserError as error:
        return str(error)


def _jobs(path: Path) -> str | None:
    """The engine and its jobs, in words."""
    try:
        plain = parse_json(read_bytes(path, _MOST, "the jobs"))
        return f"{plain['engine']} {', '.join(map(str, plain['jobs']))}"
    except (UserError, ValueError, KeyError, TypeError):
        return None


class _Look:
    """One look at the files of all cells, each once."""

    def __init__(
        self,
        out: Path,
        plans: Sequence[Sequence[Entry]],
        holders_of: HoldersOf,
        deaths_of: Callable[[Path, str], int],
        now: Callable[[], float],
    ) -> None:
        self.out, self._now, self._deaths_of = out, now(), deaths_of
        self.entries = {entry.id: entry for entries in plans for entry in entries}
        self._ended = {
            entry.id: when
            for entry in self.entries.values()
            if (when := _written(out / entry.folder / RECORD)) is not None
        }
        rest = [entry for entry in self.entries.values() if entry.id not in self._ended]
        self._failed = {
            entry.id: Failed(entry, _first_line(out / entry.folder / FAILED), log)
            for entry in rest
            if (log := out / entry.folder / FAILED).is_file()
        }
        open_ = [entry for entry in rest if entry.id not in self._failed]
        by_digest = {h.digest: h for h in holders_of(out, [entry.id for entry in open_])}
        held = {entry.id: by_digest.get(entry.id[:32]) for entry in open_}
        self._attempts = {entry.id: last_attempt(out / entry.folder) for entry in open_}
        self._underway = {
            entry.id: self._running(entry, holder, self._attempts[entry.id])
            for entry in open_
            if (holder := held[entry.id]) is not None
        }
        self._paces = pace.of_ended(self.entries.values(), self._ended.keys(), out)
        self._trained: dict[str, bool] = {}

    def _running(self, entry: Entry, holder: Holder, attempt: Attempt | None) -> Underway:
        host = holder.host or (attempt.host if attempt else None)
        job = holder.job if holder.host else (attempt.job if attempt else None)
        ran = None if attempt is None else max(self._now - attempt.began, 0.0)
        epoch = 0 if attempt is None else attempt.epoch
        return Underway(entry, host, job, ran, epoch, holder.silent, holder.stale)

    def of(self, entries: Sequence[Entry]) -> Cells:
        """How some cells stand."""
        done = [entry for entry in entries if entry.id in self._ended]
        failed = [self._failed[entry.id] for entry in entries if entry.id in self._failed]
        underway = [self._underway[entry.id] for entry in entries if entry.id in self._underway]
        ended = self._ended.keys() | self._failed.keys() | self._underway.keys()
        left = [entry for entry in entries if entry.id not in ended]
        running = [(each.entry, each.seconds or 0.0, each.epoch) for each in underway]
        deaths = [(entry, self._deaths_of(self.out, entry.folder)) for entry in left]
        return Cells(
            entries,
            len(done),
            failed,
            underway,
            len(left),
            sum(self._attempts[entry.id] is not None for entry in left),
            [(entry, count) for entry, count in deaths if count],
            self._rate([self._ended[entry.id] for entry in done]),
            pace.remaining(running, left, self._paces, self._is_trained, len(underway)),
        )

    def _rate(self, times: Sequence[float]) -> float | None:
        """Cells per hour among those that ended lately."""
        lately = [each for each in times if self._now - each < _LATELY]
        if len(lately) < 2:
            return None
        seconds = max(self._now - min(lately), _FEWEST)
        return 3600 * (len(lately) - 1) / seconds

    def _is_trained(self, entry: Entry) -> bool:
        if entry.training_folder not in self._trained:
            path = self.out / entry.training_folder / TRAINED
            self._trained[entry.training_folder] = path.is_file()
        return self._trained[entry.training_folder]


def _written(path: Path) -> float | None:
    """When a file was written, in seconds since the epoch; None if there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _first_line(path: Path) -> str:
    return (_note(path) or "").partition("\n")[0]


def plain(found: Standing) -> Mapping[str, object]:
    """A standing as JSON has it, for scripts; seconds, and paths as text."""
    return {
        "out": str(found.out),
        **_plain(found.whole),
        "plans": [
            {
                "id": each.id,
                "problem": each.problem,
                "cancelled": each.cancelled,
                "jobs": each.jobs,
                "refusals": list(each.refusals),
                **({} if each.cells is None else _plain(each.cells)),
            }
            for each in found.plans
        ],
    }


def _plain(cells: Cells) -> Mapping[str, object]:
    return {
        "cells": cells.total,
        "done": cells.done,
        "failed": [
            {"cell": each.entry.label, "id": each.entry.id, "reason": each.reason}
            | {"log": str(each.log)}
            for each in cells.failed
        ],
        "underway": [
            {"cell": each.entry.label, "id": each.entry.id, "host": each.host, "job": each.job}
            | {"seconds": each.seconds, "epoch": each.epoch, "epochs": each.entry.epochs}
            | {"silent": each.silent, "stale": each.stale}
            for each in cells.underway
        ],
        "left": cells.left,
        "begun": cells.begun,
        "died": [{"cell": entry.label, "id": entry.id, "times": n} for entry, n in cells.died],
        "per_hour": cells.per_hour,
        "seconds_left": cells.seconds_left,
    }
