"""Processor seconds, time and peak memory of commands over large boards of made-up records.

    python -m benchmarks.boards FOLDER --records 100,1000

Records are written to FOLDER by `benchmarks.made_boards`, or taken from there where as many lie
there already. Each command runs twice in a process of its own: `first` knows nothing, `known` has
seen the same records. What it prints is thrown away.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import made_boards
from promptbench import records

COMMANDS: dict[str, tuple[str, ...]] = {
    "report": ("report", "{runs}"),
    "validate": ("validate", "{runs}"),
    "verify": ("leaderboard", "verify", "{runs}"),
    "build": ("leaderboard", "build", "{runs}", "--out", "{site}"),
    "compare": ("compare", "coop", "maple", "--runs", "{runs}"),
    "plan": ("plan", "--method", "all", "--protocol", "few_shot", "--no-timing", "--out", "{runs}"),
}


# A process starts with the peak memory of the one that started it, so that a small one does that.
_LAUNCH = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
clock = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, clock, used.ru_maxrss)
sys.exit(code)
"""


class Cost(NamedTuple):
    """What a command took: its name, records, whether they were known, CPU seconds of it and of all
    processes beside it, seconds by the clock, and its own peak in MB."""

    command: str
    records: int
    known: bool
    seconds: float
    clock: float
    peak_mb: float

    @property
    def row(self) -> str:
        """A row of the table."""
        when = "known" if self.known else "first"
        named = f"| `{self.command}` | {self.records:,} | {when} |"
        return f"{named} {self.seconds:.1f} s | {self.clock:.1f} s | {self.peak_mb:.0f} MB |"


def main() -> None:
    options = arguments()
    print("| command | records | | CPU | by the clock | peak |\n|---|---|---|---|---|---|")
    for cost in costs(options.folder, options.records, options.methods, options.commands):
        print(cost.row, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=_numbers, default=[100, 1000], help="e.g. 100,1000")
    parser.add_argument("--methods", type=int, default=100)
    parser.add_argument("--commands", type=lambda text: text.split(","), default=[*COMMANDS])
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def costs(
    folder: Path, sizes: Sequence[int], methods: int, commands: Sequence[str]
) -> Iterator[Cost]:
    """Measure commands over boards of several sizes under `folder`, first and known.

    Raises:
        RuntimeError: a command that fails, with the end of what it said.
    """
    for size in sizes:
        runs = folder / f"{size}-records-{methods}-methods"
        if len(records.find([runs])) != size:
            for _ in made_boards.written(runs, size, methods):
                pass
        for name in commands:
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                for known in (False, True):
                    yield Cost(name, size, known, *_measured(name, runs, Path(scratch)))


def _measured(name: str, runs: Path, scratch: Path) -> tuple[float, float, float]:
    """CPU seconds, user and system, seconds by the clock and peak memory in MB of a command, with
    its cache in `scratch`; exit code 1 says that records are refused, which a table may."""
    places = {"runs": str(runs), "site": str(scratch / "site")}
    words = [word.format(**places) for word in COMMANDS[name]]
    surroundings = os.environ | {"XDG_CACHE_HOME": str(scratch / "cache"), "OMP_NUM_THREADS": "1"}
    surroundings.pop("PYTHONDONTWRITEBYTECODE", None)  # what pip installs is compiled
    command = [sys.executable, "-c", _LAUNCH, sys.executable, "-m", "promptbench.cli", *words]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")
    seconds, clock, peak = map(float, done.stdout.split())
    return seconds, clock, peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
