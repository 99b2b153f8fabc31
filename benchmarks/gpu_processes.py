"""What is measured on a GPU by starting programs, for `benchmarks.gpu`: tests, runs, workers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks import gpu_programs
from benchmarks.gpu_programs import ROOT, finished, together
from benchmarks.gpu_steps import Bench, Row, Rows
from promptbench import records

_PRECISIONS = ("fp32", "bf16", "fp16")
_ENOUGH = 0.9  # of the highest rate: the fewest workers that reach it are worth their memory
_QUIT = 30  # seconds that MPS has to start or to end


def tests(bench: Bench) -> Rows:
    """The golden vectors, in float32 and half precision, replayed steps and the resampling on the
    device; a process for each file, all at once."""
    environment = {**os.environ, "PROMPTBENCH_TEST_DEVICE": bench.device.type}
    environment.setdefault("OMP_NUM_THREADS", "1")
    # Plugins of the environment are not part of what is tested.
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    few = ["-k", "zeroshot"] if bench.small else []
    paths = [path for path in _tests() if path.endswith("golden.py") or not bench.small]
    commands = {path: [sys.executable, "-m", "pytest", "-q", path, *few] for path in paths}
    with closing(together(commands, bench, len(paths), environment)) as programs:
        for path, ended in programs:
            lines = ended.out.strip().splitlines()
            failed = [line[:200] for line in lines if line.startswith(("FAILED", "ERROR"))][:5]
            row: Row = {"tests": path, "passed": ended.code == 0}
            yield {**row, "says": (lines[-1:] or [ended.err[-200:]])[0], "failed_tests": failed}


def _tests() -> list[str]:
    """The files of tests, as the repository names them."""
    golden = sorted(path.name for path in (ROOT / "tests/methods").glob("test_golden*.py"))
    if not golden:
        raise FileNotFoundError(f"no golden tests were found in {ROOT / 'tests/methods'}")
    others = ["tests/running/training/test_graphs.py", "tests/data/test_resampling.py"]
    return [*(f"tests/methods/{name}" for name in golden), *others]


def runs(bench: Bench) -> Rows:
    """Runs of every method at every precision, the same one twice, all beside each other, and with
    `--compile`; a row for each precision as soon as both of its runs have ended."""
    names = [f"{precision} {which}" for precision in _PRECISIONS for which in ("first", "second")]
    with tempfile.TemporaryDirectory() as scratch:
        outs = {name: Path(scratch, name.replace(" ", "-")) for name in names}
        commands = {
            name: _run(bench, out, ["--precision", name.split()[0]]) for name, out in outs.items()
        }
        done: dict[str, Row] = {}
        with closing(together(commands, bench, 2 if bench.small else len(names))) as programs:
            for name, ended in programs:
                precision = name.split()[0]
                if ended.code:
                    said = gpu_programs.failure(f"the run {name}", ended)
                    yield {"precision": precision, "failed": said}
                    continue
                done[name] = {"seconds": round(ended.seconds, 1), "found": _predicted(outs[name])}
                pair = [done.get(f"{precision} {which}") for which in ("first", "second")]
                if pair[0] and pair[1]:
                    first, second = pair[0], pair[1]
                    row: Row = {"precision": precision, "cells": len(first["found"])}
                    row["seconds"] = first["seconds"]
                    yield {**row, "twice_equal": first["found"] == second["found"]}
        if not bench.small:  # on a CPU it takes minutes; "compiled" tries it there
            yield _compiled(bench, Path(scratch, "compiled"))


def _compiled(bench: Bench, out: Path) -> Row:
    options = ["--precision", "bf16", "--compile"]
    command = _run(bench, out, options, "coop,maple,alignednorm")
    ended = finished("the run bf16 --compile", command, bench)
    row: Row = {"precision": "bf16", "compiled": True, "cells": len(_predicted(out))}
    return {**row, "seconds": round(ended.seconds, 1)}


def _run(bench: Bench, out: Path, options: Sequence[str], method: str = "all") -> list[str]:
    """The command of a run of the demo suite."""
    method, epochs = ("coop", 1) if bench.small else (method, 2)
    asked = ["--method", method, "--protocol", "base_to_new", "--datasets", "counts"]
    asked += ["--device", bench.device.type, "--limit", "50", "--set", f"Recipe.epochs={epochs}"]
    command = [sys.executable, "-m", "promptbench.cli", "run", *asked]
    return [*command, "--out", str(out), *options]


def _predicted(out: Path) -> dict[str, list[str]]:
    """By cell of a run, what it has predicted."""
    found = [records.read(path) for path in records.find([out])]
    return {r.cell_id: [t.predictions_sha256 for t in r.targets] for r in found}


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
    several = f"{jobs} times {method} at once"
    started: list[subprocess.Popen[str]] = []
    try:
        for _ in range(jobs):
            given = gpu_programs.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            started.append(given)
        for process in started:
            if gpu_programs.line(several, process, bench) != "ready":
                raise RuntimeError(f"{several}: one has ended before its steps")
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [json.loads(gpu_programs.rest(several, process, bench)) for process in started]
    finally:
        gpu_programs.end(started)
    rate = round(sum(each["steps_per_s"] for each in said), 2)
    largest = max(each["peak_mb"] for each in said)
    return {"method": method, "jobs": jobs, "steps_per_s": rate, "peak_mb_each": largest}


def _grid(bench: Bench, jobs: int) -> Row:
    """A run of the demo suite with so many workers: trainings, and a zero-shot cell."""
    seeds = bench.sized(16, 2)
    with tempfile.TemporaryDirectory() as out:
        asked = ["--method", "coop", "--protocol", "few_shot", "--datasets", "counts"]
        asked += ["--shots", "16", "--seeds", ",".join(map(str, range(1, seeds + 1))), "--out", out]
        asked += ["--device", str(bench.device), "--per-gpu", str(jobs), "--limit", "50"]
        asked += ["--set", f"Recipe.epochs={bench.sized(10, 2)}"]
        command = [sys.executable, "-m", "promptbench.cli", "run", *asked]
        ended = finished(f"the run with {jobs} workers", command, bench)
        cells = len(records.find([Path(out)]))
    return {"jobs": jobs, "cells": cells, "cells_per_hour": round(3600 * cells / ended.seconds)}


@contextmanager
def _mps() -> Iterator[None]:
    """NVIDIA's multi-process service, with folders of its own, for what is started inside."""
    with tempfile.TemporaryDirectory() as folder:
        places = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        os.environ.update(places)
        try:
            subprocess.run(["nvidia-cuda-mps-control", "-d"], check=True, timeout=_QUIT)
            yield
        finally:
            for name in places:
                os.environ.pop(name)
            subprocess.run(
                ["nvidia-cuda-mps-control"],
                env={**os.environ, **places},
                input="quit\n",
                text=True,
                timeout=_QUIT,
            )
