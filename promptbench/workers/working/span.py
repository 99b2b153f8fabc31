"""A worker's time: when it began, when it is over, and whether a signal came because it is."""

from __future__ import annotations

import datetime
import math
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

from promptbench.errors import UserError
from promptbench.support.stopping import Stopped

SLURM_END = "SLURM_JOB_END_TIME"  # seconds since the epoch; set by Slurm since 22.05
_MARGIN, _SHARE, _LEAST = 60.0, 0.1, 5.0  # seconds; a part of a short time instead
# What batch systems send ahead of a time limit; to end a job for anything else they send SIGTERM.
_WARNINGS = tuple(
    getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2", "SIGXCPU") if hasattr(signal, name)
)
_AHEAD = 900.0  # seconds: no warning comes earlier than that, unless half of the time is over


@dataclass(frozen=True)
class Span:
    """A worker's time, in seconds since the epoch.

    Args:
        start: when it began.
        end: when it is over; infinite where nobody says.
    """

    start: float
    end: float = math.inf

    @property
    def stop(self) -> float:
        """When to stop: before the end, so that there is time to save."""
        return self.end - min(_MARGIN, max(_LEAST, _SHARE * (self.end - self.start)))

    @property
    def clock(self) -> str:
        """The end, by this machine's time zone."""
        return datetime.datetime.fromtimestamp(self.end).strftime("%Y-%m-%d %H:%M:%S")

    def is_why(self, stop: Stopped, now: float) -> bool:
        """Whether a stop came because the time is over, or nearly so, and not for anything else.

        A warning that comes far from the end announces something else, such as a preemption.
        """
        if now >= self.stop:
            return True
        near = self.end - now <= _AHEAD or now - self.start >= (self.end - self.start) / 2
        return stop.number in _WARNINGS and (near or self.end == math.inf)


def span_of(
    until: str | None, minutes: float | None, environment: Mapping[str, str] = os.environ
) -> Span:
    """The time of a worker that begins now.

    Args:
        until: a time such as 2026-01-31T18:00, by this machine's time zone if it names none.
        minutes: from now on.
        environment: where Slurm says when the job ends.

    Raises:
        UserError: both are given, or one is not what it should be.
    """
    now = time.time()
    if until is not None and minutes is not None:
        raise UserError("--until and --minutes both say when the time is over; give one of them")
    if minutes is not None:
        if not 0 < minutes < 1e7:
            raise UserError(f"--minutes {minutes:g}: it must be more than 0")
        return Span(now, now + 60 * minutes)
    if until is not None:
        return Span(now, _moment(until))
    try:
        return Span(now, float(environment[SLURM_END]))
    except (KeyError, ValueError):
        return Span(now)


def _moment(text: str) -> float:
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"--until {text}: it must be a time such as 2026-01-31T18:00 or 2026-01-31T18:00+02:00"
        ) from error
