"""Executors: what any of them holds, and that anybody can add one."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from promptbench import records
from promptbench.cli import main
from promptbench.core.registry import EXECUTORS
from promptbench.demo import model as demo_model
from promptbench.errors import RunError, UserError
from promptbench.executors import processes
from promptbench.planning import edge, plan
from promptbench.planning.cells import Cell
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.records import Record
from promptbench.running import failures
from promptbench.running.executor import Work, chosen
from promptbench.running.failures import CellsFailed
from promptbench.running.lab import shared, sharing_a_lab
from promptbench.running.lab.compute import Compute
from promptbench.running.session import execute, plans_of
from promptbench.support.stopping import Stopped
from promptbench.tracking import Listener
from promptbench.tracking.listener import Epoch
from tests.faults.driver import NOISY, TINY
from tests.test_registry import distribution

# Named beside a method of a file: other processes need both.
PROTOCOL = '''
"""The base half alone."""

from promptbench.api import (Leg, Protocol, Source, Target, score, Column)


class BaseOnly(Protocol):
    title = "Base only"
    version = 1
    trains_as = "base_to_new"

    def legs(self, shots, only=None):
        base = Target("counts", "base", "none")
        return [Leg(Source("counts", "base", shots), (base,))]

    def columns(self, legs):
        return [
            Column("counts", "base", score(leg.source, leg.targets[0]), leg.source.shots)
            for leg in legs
        ]
'''
CLOCKS = {"seconds": 0, "class_seconds": 0}
BROKEN = ("Noisy.fault='broken'", "Noisy.at=2")


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("protocol") / "base_only.py"
    file.write_text(PROTOCOL)
    return file


def asked(out: Path, protocol: Path, **options: Any) -> tuple[list[Request], Machine]:
    """Noisy as it is and with a mistake, beside the zero-shot row, as machine and requests."""
    grid = Grid(("noisy",), ("base_only",), variants=((), BROKEN))
    usual = {"plugin": [NOISY, protocol], "shots": 4, "limit": 20, "seeds": [1], "quiet": True}
    return edge.asked(grid, {**usual, "set": TINY["set"], "out": out, **options})


def left(out: Path) -> dict[str, Any]:
    """What a run leaves behind: files by their bytes, records without clock and memory."""
    found: dict[str, Any] = {}
    for path in (p for p in out.rglob("*") if p.suffix in (".gz", ".safetensors", ".json")):
        name = str(path.relative_to(out))
        if path.name == "record.json":
            facts = json.loads(path.read_bytes())
            facts.pop("created")
            facts["training"].pop("seconds")
            facts["environment"].pop("peak_memory_mb")
            found[name] = facts | {"targets": [t | CLOCKS for t in facts["targets"]]}
        elif "trainings" not in path.parts:
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory, protocol: Path) -> dict[str, Any]:
    """What the cells come to without any executor."""
    out = tmp_path_factory.mktemp("by-hand")
    requests, machine = asked(out, protocol)
    plans, compute = plans_of(requests, machine)
    cells = [cell for made in plans for cell in made.pending()]
    Work(plans, cells, machine, compute, Listener()).compute_here()
    assert len(cells) == 3 and len(records.find([out])) == 2
    return left(out)


# Those elsewhere are held to it where their engine can be started (tests/cluster, tests/executors).
HERE = [name for name in EXECUTORS.names() if not EXECUTORS.load(name).cls.elsewhere]


def jobs_of(name: str) -> int:
    return 2 if EXECUTORS.load(name).cls.takes_jobs else 1


# What every executor holds. Over 5 s where one starts processes that import torch.
@pytest.mark.parametrize("name", HERE)
def test_any_executor_computes_the_same_and_one_failure_stops_no_other_cell(
    name: str, by_hand: dict[str, Any], protocol: Path, tmp_path: Path
) -> None:
    with pytest.raises(CellsFailed, match="1 of 3 cells failed; 2 have their records") as caught:
        execute(*asked(tmp_path, protocol, on=name, jobs=jobs_of(name)))
    assert "ZeroDivisionError: a plugin's own mistake (noisy.py, line" in str(caught.value)
    (log,) = tmp_path.rglob("failed.log")
    assert str(log) in str(caught.value)
    assert left(tmp_path) == by_hand
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("name", HERE)
def test_any_executor_stops_in_order(name: str, protocol: Path, tmp_path: Path) -> None:
    class Impatient(Listener):
        def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
            if epoch.number == 0:
                os.kill(os.getpid(), signal.SIGTERM)

    endless = {"set": [*TINY["set"][1:], "Recipe.epochs=100000"], "baseline": False}
    requests, machine = asked(tmp_path, protocol, on=name, checkpoint_minutes=1e6, **endless)
    with pytest.raises(Stopped) as caught:
        execute(requests[0], machine, Impatient())
    assert caught.value.number == signal.SIGTERM and caught.value.begun
    assert len(caught.value.saved) == len(list(tmp_path.rglob("checkpoint.pt"))) == 1
    assert not list(tmp_path.rglob("failed.log")) and not records.find([tmp_path])
    assert not multiprocessing.active_children()


# --- which one ----------------------------------------------------------------------------------


def test_jobs_choose_the_executor_where_none_is_named() -> None:
    assert chosen(Machine()).name == "local"
    assert chosen(Machine(jobs=2)).name == "processes"
    assert chosen(Machine(on="processes")).name == "processes"
    assert chosen(Machine(on=" local ")).name == "local"
    assert chosen(Machine(per_gpu=2)).name == "processes"
    assert chosen(Machine(jobs=4, per_gpu=2, on="slurm")).name == "slurm"


@pytest.mark.parametrize(
    ("device", "asked", "started"),
    [
        ("cuda", {"per_gpu": 2}, 6),  # of three GPUs
        ("cuda:1", {"per_gpu": 2}, 2),
        ("cpu", {"per_gpu": 2}, 2),
        ("cuda", {"jobs": 2}, 2),
        ("cuda", {"per_gpu": 99}, 7),  # as many as there are cells
    ],
)
def test_processes_are_counted_for_each_gpu(
    device: str, asked: dict[str, int], started: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(processes._Crew, "start", lambda _, slot: slots.append(slot))
    cells: list[Any] = [*range(7)]
    machine = Machine(**asked)  # type: ignore[arg-type]  # counts only
    listener = Listener()
    said: list[str] = []
    monkeypatch.setattr(listener, "message", said.append)
    work = Work([], cells, machine, Compute(torch.device(device), "fp32"), listener)
    processes.Processes().run(work)
    assert slots == list(range(started))
    on_cpu = ["computing on the CPU, where --per-gpu is a number of processes: 2"]
    assert said == (on_cpu if device == "cpu" else [])


def run_on(*words: str) -> str:
    command = ["run", "--method", "zeroshot", "--protocol", "base_to_new", *words]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2, done.output
    return " ".join(done.output.split())


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_what_contradicts_or_is_unknown_is_refused_by_name(
    more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run_on("--on", "local", "--jobs", "4", *more)
    assert "--on local (this process, one cell after the other) contradicts --jobs 4" in said
    assert "contradicts --per-gpu 3; leave" in run_on("--on", "local", "--per-gpu", "3", *more)
    assert "leave one of them out" in run_on("--jobs", "4", "--per-gpu", "2", *more)
    assert "unknown executor 'proceses'; did you mean 'processes'" in run_on(
        "--on", "proceses", *more
    )
    assert not list(tmp_path.iterdir())  # before anything is done


def test_executors_are_listed_and_described() -> None:
    said = CliRunner().invoke(main, ["ls", "executors"]).output
    assert all(name in said for name in ("local", "processes", "--jobs", "any number"))
    described = CliRunner().invoke(main, ["info", "processes"])
    assert described.exit_code == 0 and "--jobs N" in described.output


# --- somebody else's ----------------------------------------------------------------------------

SCHEDULER = '''
"""Cells in processes that a scheduler might start: the work is a file, records are the answer."""

import subprocess
import sys
import tempfile
from pathlib import Path

from promptbench.api import Executor, Work


class Scheduler(Executor):
    title = "processes that a scheduler starts"

    def run(self, work: Work) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "work"
            file.write_bytes(work.packed())
            command = [sys.executable, __file__, str(file)]
            started = [subprocess.Popen(command) for _ in range(work.machine.jobs)]
            for process in started:
                process.wait()


if __name__ == "__main__":
    Work.unpacked(Path(sys.argv[1]).read_bytes()).compute_here()
'''
CARELESS = '''
"""Does nothing, or does not even do that."""

from promptbench.api import Executor


class Careless(Executor):
    title = "nowhere"

    def run(self, work):
        if work.machine.jobs > 1:
            raise OSError("no route to the cluster")
'''


def test_one_file_of_somebody_else_computes_a_run(
    by_hand: dict[str, Any], protocol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(SCHEDULER.splitlines()) <= 60
    monkeypatch.syspath_prepend(tmp_path)
    distribution(tmp_path, "scheduler", "theirs_scheduler", SCHEDULER, EXECUTORS.group)
    said = " ".join(CliRunner().invoke(main, ["ls", "executors"]).output.split())
    assert "scheduler processes that" in said and "theirs_scheduler 1.0" in said
    out = tmp_path / "runs"
    ears = Ears()
    with pytest.raises(CellsFailed, match="1 of 3 cells failed"):
        execute(*asked(out, protocol, on="scheduler"), ears)
    assert left(out) == by_hand
    assert ears.heard == {  # from records, since its processes report nothing
        "zeroshot": ["cell_started", "cell_ended"],
        "noisy": ["cell_started", *["epoch_ended"] * 3, "cell_ended", "cell_failed"],
    }


class Ears(Listener):
    """Notes what it hears of each method's cells."""

    def __init__(self) -> None:
        self.heard: dict[str, list[str]] = {}

    def _note(self, cell: Cell, event: str) -> None:
        self.heard.setdefault(cell.method.name, []).append(event)

    def cell_started(self, cell: Cell) -> None:
        self._note(cell, "cell_started")

    def epoch_ended(self, cell: Cell, epoch: Epoch) -> None:
        assert epoch.lr > 0 and epoch.losses
        self._note(cell, "epoch_ended")

    def cell_ended(self, cell: Cell, record: Record) -> None:
        assert record.cell_id == cell.id
        self._note(cell, "cell_ended")

    def cell_failed(self, cell: Cell, reason: str, log: Path) -> None:
        assert "ZeroDivisionError" in reason and log.is_file()
        self._note(cell, "cell_failed")


def test_an_executor_that_fails_or_forgets_cells_is_named(
    protocol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    distribution(tmp_path, "careless", "theirs_careless", CARELESS, EXECUTORS.group)
    distribution(tmp_path, "broken", "theirs_broken", "1 / 0", EXECUTORS.group)
    listed = " ".join(CliRunner().invoke(main, ["ls", "executors"]).output.split())
    assert "local this process" in listed and "nowhere" in listed  # whatever else is broken
    assert "broken cannot be loaded" in listed and "ZeroDivisionError" in listed
    out = tmp_path / "runs"
    with pytest.raises(CellsFailed, match=r"3 of 3 cells failed.*\n.*neither a record nor a log"):
        execute(*asked(out, protocol, on="careless"))
    refused = r"the executor 'careless' \(theirs_careless 1.0, .*\) failed: OSError: no route to"
    with pytest.raises(RunError, match=refused):
        execute(*asked(out, protocol, on="careless", jobs=2))


# --- requests that differ in what a lab holds ---------------------------------------------------


def test_requests_of_several_backbones_are_each_computed_with_their_own(tmp_path: Path) -> None:
    weights = tmp_path / "open_clip_model.safetensors"
    weights.write_bytes(demo_model.WEIGHTS.read_bytes())
    words = {"preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(words))
    few: dict[str, Any] = {"datasets": "counts", "seeds": 1, "limit": 60}
    other = {"backbone": demo_model.NAME, "weights": str(tmp_path), "suite": "demo"}
    requests = [
        Request("zeroshot", "base_to_new", **few),
        Request("zeroshot", "base_to_new", **few, **other),
    ]

    def run(name: str, *some: Request) -> list[Record]:
        return execute(list(some), Machine(out=tmp_path / name, quiet=True))

    together = run("together", *requests)
    apart = [run(f"apart-{number}", request)[0] for number, request in enumerate(requests)]
    assert [r.cell_id for r in together] == [r.cell_id for r in apart]
    assert [r.numbers() for r in together] == [r.numbers() for r in apart]
    assert together[0].backbone.mean != together[1].backbone.mean
    assert together[0].numbers()["counts"] != together[1].numbers()["counts"]


def test_requests_of_several_roots_each_read_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = [tmp_path / name for name in ("a", "b")]
    for root in roots:
        root.mkdir()
    plans = [
        plan.build(Request("zeroshot", protocol, "demo", root, datasets="counts", seeds=1), "fp32")
        for root in roots
        for protocol in ("few_shot", "base_to_new")
    ]
    asked: list[Any] = []

    def provide(name: str, root: Path, _: Any) -> Any:
        asked.append((name, root))
        return SimpleNamespace(check=lambda *_: None)

    monkeypatch.setattr(shared.store, "provide", provide)
    groups = sharing_a_lab(plans)
    assert [[plans.index(made) for made in group] for group in groups] == [[0, 1], [2, 3]]
    for group in groups:
        shared.provide_data(group, Listener())
    assert asked == [("counts", roots[0]), ("counts", roots[1])]


def test_a_failed_cell_is_left_alone_by_whoever_takes_the_work_up(
    protocol: Path, tmp_path: Path
) -> None:
    requests, machine = asked(tmp_path, protocol, baseline=False)
    plans, compute = plans_of(requests, machine)
    cells = [cell for made in plans for cell in made.cells]
    for cell in cells:
        failures.write(cell, tmp_path, "before")
    again = Work.unpacked(Work(plans, cells, machine, compute, Listener()).packed())
    assert [cell.id for cell in again.cells] == [cell.id for cell in cells]
    again.compute_here()
    assert not records.find([tmp_path])


def test_no_request_is_a_run_of_nothing(tmp_path: Path) -> None:
    assert execute([], Machine(out=tmp_path, quiet=True)) == []


def test_a_number_of_jobs_that_nobody_can_start_is_refused() -> None:
    for jobs in (0, -1, 2**63):
        with pytest.raises(UserError, match="--jobs must be at"):
            Machine(jobs=jobs)
