"""What is measured on a GPU by starting programs, for `benchmarks.gpu`: tests, runs, workers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.gpu_steps import Bench, Row, Rows
from promptbench import records

_TESTS = (
    *sorted(map(str, Path("tests/methods").glob("test_golden*.py"))),
    "tests/running/training/test_graphs.py",
    "tests/data/test_resampling.py",
)
_ENOUGH = 0.9  # of the highest rate: the fewest workers that reach it are worth their memory
_LONGEST = 600  # seconds that a program may take


def tests(bench: Bench) -> Rows:
    """The golden vectors, in float32 and half precision, replayed steps and the resampling on the
    device; a process for each file, all at once."""
    environment = {**os.environ, "PROMPTBENCH_TEST_DEVICE": bench.device.type}
    environment.setdefault("OMP_NUM_THREADS", "1")
    # Plugins of the environment are not part of what is tested.
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    few = ["-k", "zeroshot"] if bench.small else []

    def tested(path: str) -> Row:
        command = [sys.executable, "-m", "pytest", "-q", path, *few]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_LONGEST
        )
        lines = done.stdout.strip().splitlines()
        failed = [line[:200] for line in lines if line.startswith(("FAILED", "ERROR"))][:5]
        row: Row = {"tests": path, "passed": done.returncode == 0}
        return row | {"says": (lines[-1:] or [done.stderr[-200:]])[0], "failed_tests": failed}

    paths = [path for path in _TESTS if path.endswith("golden.py")] if bench.small else _TESTS
    with ThreadPoolExecutor(len(paths)) as several:
        yield from several.map(tested, paths)


def runs(bench: Bench) -> Rows:
    """Runs of every method at every precision, the same one twice, all beside each other, and with
    `--compile`."""
    precisions = ("fp32", "bf16", "fp16")
    with ThreadPoolExecutor(2 if bench.small else 2 * len(precisions)) as several:
        twice = list(several.map(lambda p: _run(bench, ["--precision", p]), 2 * precisions))
    for number, precision in enumerate(precisions):
        (seconds, first), (_, second) = twice[number], twice[number + len(precisions)]
        row: Row = {"precision": precision, "cells": len(first), "seconds": seconds}
        yield {**row, "twice_equal": first == second}
    if not bench.small:  # on a CPU it takes minutes; "compiled" tries it there
        seconds, first = _run(bench, ["--precision", "bf16", "--compile"], "coop,maple,alignednorm")
        yield {"precision": "bf16", "compiled": True, "cells": len(first), "seconds": seconds}


def _run(
    bench: Bench, options: Sequence[str], method: str = "all"
) -> tuple[float, dict[str, list[str]]]:
    """The seconds of a run of the demo suite, and by cell what it has predicted.

    Raises:
        RuntimeError: a cell or the run fails.
    """
    method, epochs = ("coop", 1) if bench.small else (method, 2)
    asked = ["--method", method, "--protocol", "base_to_new", "--datasets", "counts"]
    asked += ["--device", bench.device.type, "--limit", "50", "--set", f"Recipe.epochs={epochs}"]
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        _finished([sys.executable, "-m", "promptbench.cli", "run", *asked, "--out", out, *options])
        seconds = round(time.perf_counter() - started, 1)
        found = [records.read(path) for path in records.find([Path(out)])]
    return seconds, {r.cell_id: [t.predictions_sha256 for t in r.targets] for r in found}


def _finished(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST)
    if done.returncode:
        raise RuntimeError(f"the run ended with {done.returncode}: {done.stderr[-300:]}")


def workers(bench: Bench) -> Rows:
    """1, 2, 4 and 8 workers on the card, their steps replayed or not, with and without MPS: steps
    of ViT-B/16 at batch 4, how many workers are worth it, and cells of the demo suite."""
    several = (1, 2) if bench.small else (1, 2, 4, 8)
    for method in ("coop",) if bench.small else ("alignednorm", "coop"):
        for graphs in (True, False):
            yield from _several(bench, method, several, graphs, mps=False)
    for jobs in several[::2]:
        yield _grid(bench, jobs)
    if bench.small or shutil.which("nvidia-cuda-mps-control") is None:
        yield {"mps": True, "left_out": "nvidia-cuda-mps-control is missing"}
        return
    with _mps():
        yield from _several(bench, "alignednorm", several, True, mps=True)


def _several(bench: Bench, method: str, several: Sequence[int], graphs: bool, mps: bool) -> Rows:
    rate: dict[int, float] = {}
    about: Row = {"mps": mps, "graphs": graphs}
    for jobs in several:
        row = _beside(bench, method, jobs, graphs)
        rate[jobs] = row["steps_per_s"]
        yield {**about, **row}
    gain = round(max(rate.values()) / rate[1], 2)
    yield {**about, "method": method, "worth_it": worth_it(rate), "gain": gain}


def worth_it(rate: dict[int, float]) -> int:
    """The fewest workers whose rate is nearly the highest."""
    return min(jobs for jobs, each in rate.items() if each >= _ENOUGH * max(rate.values()))


def _beside(bench: Bench, method: str, jobs: int, graphs: bool) -> Row:
    """Steps per second of so many processes together, and the memory of each."""
    command = [sys.executable, "-m", "benchmarks.beside", "--method", method]
    command += ["--backbone", bench.backbone, "--device", bench.device.type]
    command += ["--graphs"] if graphs else []
    command += ["--classes", str(bench.sized(50, 8)), "--seconds", str(bench.sized(4, 1))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, **pipes) for _ in range(jobs)]  # type: ignore[call-overload]
    try:
        for process in started:
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{jobs} processes at once: one has ended before its steps")
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [json.loads(process.communicate(timeout=_LONGEST)[0]) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    together = round(sum(each["steps_per_s"] for each in said), 2)
    largest = max(each["peak_mb"] for each in said)
    return {"method": method, "jobs": jobs, "steps_per_s": together, "peak_mb_each": largest}


def _grid(bench: Bench, jobs: int) -> Row:
    """A run of the demo suite with so many workers: trainings, and a zero-shot cell."""
    seeds = bench.sized(16, 2)
    with tempfile.TemporaryDirectory() as out:
        asked = ["--method", "coop", "--protocol", "few_shot", "--datasets", "counts"]
        asked += ["--shots", "16", "--seeds", ",".join(map(str, range(1, seeds + 1))), "--out", out]
        asked += ["--device", str(bench.device), "--per-gpu", str(jobs), "--limit", "50"]
        asked += ["--set", f"Recipe.epochs={bench.sized(10, 2)}"]
        started = time.perf_counter()
        _finished([sys.executable, "-m", "promptbench.cli", "run", *asked])
        seconds = time.perf_counter() - started
        cells = len(records.find([Path(out)]))
    return {"jobs": jobs, "cells": cells, "cells_per_hour": round(3600 * cells / seconds)}


@contextmanager
def _mps() -> Iterator[None]:
    """NVIDIA's multi-process service, with folders of its own, for what is started inside."""
    with tempfile.TemporaryDirectory() as folder:
        places = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        os.environ.update(places)
        try:
            subprocess.run(["nvidia-cuda-mps-control", "-d"], check=True)
            yield
        finally:
            subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", text=True)
            for name in places:
                os.environ.pop(name)
