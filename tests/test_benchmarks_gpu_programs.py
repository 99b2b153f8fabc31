"""Programs that `benchmarks.gpu` starts, and what is measured by them; none is measured here."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_processes, gpu_programs, gpu_steps
from benchmarks.gpu_programs import ROOT, Ended, Unfinished, finished
from benchmarks.gpu_steps import Bench, Row, Rows

programs = pytest.mark.skipif(
    sys.platform == "win32", reason="of POSIX: signals and process groups"
)


def lasting(seconds: float) -> Bench:
    return Bench(torch.device("cpu"), True, time.monotonic() + seconds)


@programs
def test_a_program_that_says_nothing_is_waited_for_within_the_time() -> None:
    process = gpu_programs.start(["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        for wait in (gpu_programs.line, gpu_programs.rest):
            with pytest.raises(Unfinished, match="killed: it"):
                wait("it", process, lasting(0.1))
    finally:
        gpu_programs.end([process])
    assert process.returncode == -signal.SIGTERM


@programs
def test_programs_run_in_the_repository_and_their_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert finished("it", ["pwd", "-P"], lasting(60)).out.strip() == str(ROOT)
    with pytest.raises(RuntimeError, match="it ended with 3: why"):
        finished("it", ["sh", "-c", "echo why >&2; exit 3"], lasting(60))


def test_tests_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(commands: dict[str, list[str]], *_: object) -> Iterator[tuple[str, Ended]]:
        for path, command in commands.items():
            assert path in command
            yield path, Ended(1, f"FAILED {path}\n1 failed", "", 1.0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gpu_processes, "together", ended)
    rows = list(gpu_processes.tests(Bench(torch.device("cpu"), False, time.monotonic())))
    assert len(rows) >= 4 and all((ROOT / row["tests"]).is_file() for row in rows)
    first = rows[0]
    assert (first["passed"], first["says"]) == (False, "1 failed")
    assert first["failed_tests"] == [f"FAILED {first['tests']}"]
    monkeypatch.setattr(gpu_processes, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match="no golden tests were found in"):
        next(gpu_processes.tests(lasting(1)))


@programs
def test_runs_come_as_their_pairs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"fp32": "60", "bf16": "0", "fp16": "no number"}

    def command(_: Bench, out: Path, options: list[str]) -> list[str]:
        return ["sleep", seconds[options[1]]]

    def predicted(out: Path) -> dict[str, list[str]]:
        return {"cell": [out.name], "other": []}

    monkeypatch.setattr(gpu_processes, "_run", command)
    monkeypatch.setattr(gpu_processes, "_predicted", predicted)
    bench = Bench(torch.device("cpu"), False, time.monotonic() + 60)
    rows: list[Row] = []
    found = gpu_processes.runs(bench)
    while len(rows) < 3:
        rows.append(next(found))
    found.close()  # those of fp32 have not ended
    assert bench.left() > 40
    (bf16,) = [row for row in rows if row["precision"] == "bf16"]
    assert bf16.pop("seconds") < 20
    assert bf16 == {"precision": "bf16", "cells": 2, "twice_equal": False}
    assert all("ended with 1" in row["failed"] for row in rows if row["precision"] == "fp16")


@pytest.mark.parametrize(
    ("rate", "jobs"),
    [({1: 10.0, 2: 10.5}, 1), ({1: 10, 2: 18, 4: 19.9, 8: 20}, 2), ({1: 5, 2: 8, 4: 12}, 4)],
)
def test_workers_are_worth_it_while_the_rate_grows(rate: dict[int, float], jobs: int) -> None:
    assert gpu_processes.worth_it(rate) == jobs


def test_long_class_lists_are_compiled_after_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def against_eager(bench: Bench, method: str, classes: int) -> Row:
        return {"method": method, "classes": classes}

    def several(bench: Bench, method: str, lists: Sequence[int]) -> Rows:
        yield {"method": method, "classes": 51}

    monkeypatch.setattr(gpu_steps, "_against_eager", against_eager)
    monkeypatch.setattr(gpu_steps, "_one_after_the_other", several)
    rows = list(gpu_steps.compiled(Bench(torch.device("cpu"), False, time.monotonic() + 60)))
    longer = [(name, classes) for classes in (500, 1000) for name in ("coop", "alignednorm")]
    assert [(row["method"], row["classes"]) for row in rows[-4:]] == longer
    assert {row["classes"] for row in rows[:-4]} == {50, 51}
