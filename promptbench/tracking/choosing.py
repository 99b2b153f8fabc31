"""Which trackers a run has, and in which of its processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from promptbench.core.registry import TRACKERS
from promptbench.errors import UserError, one_line
from promptbench.tracking.guarding import Guarded
from promptbench.tracking.listener import Listeners
from promptbench.tracking.tracker import Tracker, TrackerOptions

_SHOWN, _ALWAYS = "terminal", "jsonl"  # what a run has without being asked


def of_run(track: Sequence[str], out: Path, quiet: bool, whole: bool = True) -> Listeners:
    """The trackers of a whole run, for the process that was started.

    Args:
        track: names, each perhaps with a colon and an argument, beside those of every run.
        out: the output folder.
        quiet: whether progress is to be shown nowhere.
        whole: whether this process sees the run as a whole. A worker of a run that was started
            elsewhere does not: it has no tracker that gets tables of all cells.

    Raises:
        UserError: one that cannot be used, here or in the processes that compute.
    """
    found = []
    for name, kind, options in _chosen(track, quiet):
        make = partial(_make, name, kind, out, options)
        if kind.in_every_process:
            _refuse_unusable(make)
            if kind.beside is None or not whole:
                continue
            make = partial(_make, name, kind.beside, out, options)
        found.append(Guarded(name, make))
    return Listeners(found)


def of_process(track: Sequence[str], out: Path, quiet: bool) -> Listeners:
    """The trackers of a process that computes cells; arguments and errors as of `of_run`."""
    return Listeners(
        [
            Guarded(name, partial(_make, name, kind, out, options))
            for name, kind, options in _chosen(track, quiet)
            if kind.in_every_process
        ]
    )


def _chosen(
    track: Sequence[str], quiet: bool
) -> Iterator[tuple[str, type[Tracker], TrackerOptions]]:
    """Each tracker's name, its class and how it is wanted."""
    for name, argument in arguments(track, quiet).items():
        kind: type[Tracker] = TRACKERS.load(name).cls
        if argument and not kind.takes:
            raise UserError(f"the tracker {name} takes nothing behind its name: {argument!r}")
        yield name, kind, TrackerOptions(argument, quiet)


def arguments(track: Sequence[str], quiet: bool) -> dict[str, str]:
    """The argument of each tracker of a run, by name; "" without one.

    Raises:
        UserError: a tracker is wanted with two.
    """
    found = {_ALWAYS: ""} if quiet else {_SHOWN: "", _ALWAYS: ""}
    for entry in track:
        name, _, argument = entry.partition(":")
        before = found.get(name, "")
        if before and argument not in ("", before):
            raise UserError(f"the tracker {name} cannot be both {name}:{before} and {entry}")
        found[name] = argument or before
    return found


def _make(name: str, kind: type[Tracker], out: Path, options: TrackerOptions) -> Tracker:
    try:
        return kind(out, options)
    except UserError as error:
        raise UserError(f"the tracker {name} cannot be used: {one_line(error)}") from error


def _refuse_unusable(make: Callable[[], Tracker]) -> None:
    try:
        make().close()
    except UserError:
        raise
    except Exception:  # no refusal but a failure, which each process meets and says for itself
        return
