"""How long cells take, by how long others of the same kind took; and what is left of many.

A training's time is that of its steps; what else a cell takes goes by the images that it scores. A
kind that has not been seen yet is taken to be as fast as its method elsewhere, or as all others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from promptbench.workers.looking_on.logs import Attempt, last_attempt
from promptbench.workers.plan.roster import Entry

_SAMPLES = 3  # cells of one kind that are looked at
_TRIED = 12  # logs that are looked for in vain before a kind counts as not seen


@dataclass
class _Rate:
    """Seconds for an amount of work, by kind and by method."""

    seconds: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)

    def add(self, entry: Entry, seconds: float, work: float) -> None:
        for key in (entry.pace, entry.method, ""):
            self.seconds[key] = self.seconds.get(key, 0.0) + seconds
            self.work[key] = self.work.get(key, 0.0) + work

    def of(self, entry: Entry) -> float | None:
        """Seconds per unit of work; None where nothing was seen."""
        for key in (entry.pace, entry.method, ""):
            if self.work.get(key):
                return self.seconds[key] / self.work[key]
        return None


class Paces:
    """What is known of the time that cells take."""

    def __init__(self) -> None:
        self._steps, self._images = _Rate(), _Rate()

    def add(self, entry: Entry, attempt: Attempt) -> None:
        """Learn from a computation of a cell."""
        if entry.epochs and attempt.per_epoch is not None:
            self._steps.add(entry, attempt.per_epoch, entry.steps / entry.epochs)
        if attempt.rest is not None:
            self._images.add(entry, attempt.rest, entry.images)

    def epoch(self, entry: Entry) -> float | None:
        """Seconds of an epoch; None where that is not known or there is none."""
        per_step = self._steps.of(entry)
        return per_step * entry.steps / entry.epochs if per_step and entry.epochs else None

    def seconds(self, entry: Entry, trained: bool, epochs: int = 0) -> float | None:
        """What a cell takes, whose training is finished or `epochs` epochs old; None: not known."""
        per_image, left = self._images.of(entry), 0 if trained else entry.epochs - epochs
        per_epoch = self.epoch(entry) if left else 0.0
        if per_image is None or per_epoch is None:
            return None
        return left * per_epoch + per_image * entry.images


def of_ended(entries: Iterable[Entry], done: Collection[str], out: Path) -> Paces:
    """The paces of cells that have ended, of each kind from the logs of a few."""
    found = Paces()
    seen: dict[str, int] = {}
    tried: dict[str, int] = {}
    for entry in entries:
        enough = seen.get(entry.pace, 0) >= _SAMPLES or tried.get(entry.pace, 0) >= _TRIED
        if entry.id not in done or enough:
            continue
        tried[entry.pace] = tried.get(entry.pace, 0) + 1
        attempt = last_attempt(out / entry.folder)
        if attempt is not None and attempt.ended:
            found.add(entry, attempt)
            trained = attempt.per_epoch is not None or not entry.epochs
            seen[entry.pace] = seen.get(entry.pace, 0) + trained
    return found


def remaining(
    running: Sequence[tuple[Entry, float, int]],
    waiting: Sequence[Entry],
    paces: Paces,
    is_trained: Callable[[Entry], bool],
    at_once: int,
) -> float | None:
    """Seconds until all cells are done, by as many workers; None while that is not known.

    Args:
        running: cells with the seconds that they have run, and the epochs that have ended.
        waiting: cells that nobody computes.
        is_trained: whether a cell's training is finished.
        at_once: how many workers there are; at least 1.
    """
    shared = {entry.training_id for entry, _, _ in running}
    found: list[float | None] = []
    for entry, ran, epochs in running:
        whole = paces.seconds(entry, is_trained(entry), epochs)
        per_epoch = paces.epoch(entry) or 0.0
        found.append(None if whole is None else max(whole - max(ran - epochs * per_epoch, 0), 0))
    longest = max((seconds for seconds in found if seconds is not None), default=0.0)
    for entry in waiting:
        trained = entry.training_id in shared or is_trained(entry)
        found.append(paces.seconds(entry, trained))
        shared.add(entry.training_id)
    known = [seconds for seconds in found if seconds is not None]
    return None if len(known) < len(found) else max(sum(known) / max(at_once, 1), longest)
