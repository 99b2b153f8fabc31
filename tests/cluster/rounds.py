"""`make cluster`: a grid on a real Slurm whose workers are killed, preempted, cancelled and lose
their nodes, over and over; then compared with the undisturbed run. Prints the figures.

    python -m tests.cluster.rounds --grid settings --times 20
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster import slurms
from tests.cluster.comparing import left, restarts, twice
from tests.cluster.slurms import Cluster, ask

_PATIENCE = 3600.0  # seconds for the whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", default="settings")
    parser.add_argument("--limit", type=int, help="images of each target")
    parser.add_argument("--times", type=int, default=20, help="disturbances, at least")
    parser.add_argument("--pause", type=float, default=8, help="seconds between, up to thrice that")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", type=Path, help="records of the undisturbed run")
    parser.add_argument("--out", type=Path, help="where it is computed; what is there counts")
    given = parser.parse_args()
    if (reason := slurms.missing()) is not None:
        sys.exit(reason)
    what = ["--grid", given.grid, "--seeds", "1", "--set", "Recipe.epochs=1", "--device", "cpu"]
    what += [] if given.limit is None else ["--limit", str(given.limit)]
    with (
        tempfile.TemporaryDirectory(prefix="rounds-", dir="/tmp") as name,
        slurms.started() as cluster,
    ):
        reference = given.reference or Path(name) / "reference"
        if given.reference is None:
            _run(what, reference, "--jobs", "2").wait()
        out, began = given.out or Path(name) / "runs", time.monotonic()
        counted = disturbed(cluster, what, out, given)
        print(_figures(counted, out, reference, time.monotonic() - began))


def disturbed(
    cluster: Cluster, what: list[str], out: Path, given: argparse.Namespace
) -> Counter[str]:
    """Run on the cluster until every cell has its record; how often what was done to it."""
    stream, times = random.Random(given.seed), given.times
    done, limit = Counter[str](), time.monotonic() + _PATIENCE
    submitters = [_run(what, out, "--on", "slurm", "--jobs", "2") for _ in range(2)]
    done["submitted by two at once"] += 1
    kinds: dict[str, Callable[[random.Random], bool]] = {
        "worker killed": cluster.kill_a_worker,
        "preempted": cluster.preempt,
        "warned of the time limit": cluster.warn,
        "job cancelled": cluster.cancel_a_worker,
        "node lost": cluster.lose_a_node,
    }
    while True:
        for one in [one for one in submitters if one.poll() is not None]:
            submitters.remove(one)
            if one.returncode == 0:
                for other in submitters:
                    other.wait(120)
                return done
        if not submitters:
            submitters.append(_run(what, out, "--on", "slurm", "--jobs", "2"))
            done["submitted again"] += 1
        if time.monotonic() > limit:
            raise AssertionError(f"not done in {_PATIENCE} s: {done}")
        # A worker takes some seconds to begin.
        time.sleep(stream.uniform(given.pause, 3 * given.pause))
        if done.total() < times or stream.random() < 0.3:
            name = stream.choice([*kinds, "submitter killed"])
            if name != "submitter killed":
                done[name] += kinds[name](stream)
            elif len(submitters) > 0:
                stream.choice(submitters).kill()
                done[name] += 1


def _run(what: list[str], out: Path, *more: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "promptbench.cli", "run", *what, "--out", str(out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, env=environment)


def _figures(done: Counter[str], out: Path, reference: Path, seconds: float) -> str:
    found, wanted = left(out), left(reference)
    cells = [name for name in wanted if name.endswith("/record.json")]
    rows: dict[str, Any] = {
        **dict(sorted(done.items())),
        "cells": len(cells),
        "records": sum(name.endswith("/record.json") for name in found),
        "lost": sum(name not in found for name in cells),
        "files compared": len(wanted),
        "differing files": sum(found.get(name) != wanted[name] for name in wanted)
        + len(found.keys() - wanted.keys()),
        "computed twice to the end": len(twice(out)),
        "begun again": restarts(out),
        "minutes": round(seconds / 60, 1),
        "still in the queue": len(ask("squeue", "-h", "-p", "low").splitlines()),
    }
    return "\n".join(f"| {name} | {value} |" for name, value in rows.items())


if __name__ == "__main__":
    main()
