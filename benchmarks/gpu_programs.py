"""Programs that `benchmarks.gpu` starts: each has the time that its measurement has left.

They run in the repository's folder, in process groups of their own: with a program, those that it
has started end as well.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_steps import Bench

ROOT = Path(__file__).resolve().parents[1]
_GRACE = 3  # seconds that a program has to end by itself when it is asked to
_LOOK = 0.02  # seconds between two looks at programs


class Unfinished(RuntimeError):
    """Programs have not ended within the time, and were killed."""


@dataclass(frozen=True)
class Ended:
    """How a program has ended."""

    code: int
    out: str
    err: str
    seconds: float


class _Program:
    """A program that has been started; what it prints goes into two files."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None, files: Path
    ) -> None:
        self._paths = files.with_suffix(".out"), files.with_suffix(".err")
        self._started = time.perf_counter()
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            self.process = start(command, stdout=out, stderr=err, env=environment)

    def ended(self) -> Ended | None:
        """How it has ended, if it has."""
        if (code := self.process.poll()) is None:
            return None
        seconds = time.perf_counter() - self._started
        out, err = (path.read_text(errors="replace") for path in self._paths)
        return Ended(code, out, err, seconds)


def together(
    commands: Mapping[str, Sequence[str]],
    bench: Bench,
    at_once: int,
    environment: Mapping[str, str] | None = None,
) -> Generator[tuple[str, Ended], None, None]:
    """Run programs, at most so many at once; the name of each with how it ended, as they end.

    Raises:
        Unfinished: the time is up; those that ran were killed.
    """
    waiting, working = list(commands), dict[str, _Program]()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            while waiting or working:
                if bench.left() <= 0:
                    seconds = time.monotonic() - started
                    raise Unfinished(_unfinished(list(working), waiting, seconds))
                while waiting and len(working) < at_once:
                    name, files = waiting.pop(0), Path(scratch, str(len(waiting)))
                    working[name] = _Program(commands[name], environment, files)
                time.sleep(_LOOK)
                for name, program in list(working.items()):
                    if (ended := program.ended()) is not None:
                        del working[name]
                        yield name, ended
        finally:
            end(program.process for program in working.values())


def _unfinished(working: Sequence[str], waiting: Sequence[str], seconds: float) -> str:
    parts = []
    if working:
        parts.append(f"not ended within {round(seconds)} s, and killed: {', '.join(working)}")
    if waiting:
        parts.append(f"not begun: {', '.join(waiting)}")
    return "; ".join(parts)


def finished(name: str, command: Sequence[str], bench: Bench) -> Ended:
    """Run a program, within the time.

    Raises:
        RuntimeError: it fails.
        Unfinished: the time is up.
    """
    with closing(together({name: command}, bench, 1)) as programs:
        ((_, ended),) = programs
    if ended.code:
        raise RuntimeError(failure(name, ended))
    return ended


def failure(name: str, ended: Ended) -> str:
    return f"{name} ended with {ended.code}: {ended.err[-300:]}"


def start(command: Sequence[str], **given: Any) -> subprocess.Popen[str]:
    """A program that has just been started, which `end` ends."""
    return subprocess.Popen(command, text=True, cwd=ROOT, start_new_session=True, **given)


def line(name: str, process: subprocess.Popen[str], bench: Bench) -> str:
    """The first line that a program prints; empty if it has ended without one.

    Raises:
        Unfinished: the time is up.
    """
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], max(0, bench.left()))[0]:
        raise Unfinished(f"not ready within the time, and killed: {name}")
    return process.stdout.readline().strip()


def rest(name: str, process: subprocess.Popen[str], bench: Bench) -> str:
    """What a program prints after its first line until it ends.

    Raises:
        RuntimeError: it fails.
        Unfinished: the time is up.
    """
    try:
        out, _ = process.communicate(timeout=max(0, bench.left()))
    except subprocess.TimeoutExpired:
        raise Unfinished(f"not ended within the time, and killed: {name}") from None
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}")
    return out


def end(processes: Iterable[subprocess.Popen[str]]) -> None:
    """End programs that may still run, and what they have started: asked first, then killed."""
    processes = list(processes)
    alive = [process for process in processes if process.poll() is None]
    for process in alive:
        _send(process, signal.SIGTERM)
    until = time.monotonic() + _GRACE
    for process in alive:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0, until - time.monotonic()))
    for process in alive:
        _send(process, signal.SIGKILL)
        process.wait()
    for process in processes:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what it was told and did not read
                    pipe.close()


def _send(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # the whole group has ended
        os.killpg(process.pid, number)
