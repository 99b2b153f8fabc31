"""Several processes on one grid: they share it, and one failure is no other cell's affair."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from promptbench.core.registry import METHODS
from promptbench.errors import UserError
from promptbench.executors import processes
from promptbench.executors.processes import _SPAWN
from promptbench.methods.zeroshot import ZeroShot
from promptbench.planning import plan
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.running import failures, here
from promptbench.running.executor import Work
from promptbench.running.failures import CellsFailed
from promptbench.running.lab.compute import Compute
from promptbench.storage import leases
from promptbench.tracking import Listener
from promptbench.tracking.remote import Receiver, Remote
from promptbench.tracking.terminal import Terminal
from tests.faults import driver
from tests.faults.driver import NOISY, TINY


def events(out: Path) -> Counter[tuple[str, str]]:
    """How often what happened to each cell."""
    found: Counter[tuple[str, str]] = Counter()
    for path in out.rglob("log.jsonl"):
        for line in path.read_text().splitlines():
            found[path.parent.name, json.loads(line)["event"]] += 1
    return found


def test_two_runs_at_once_share_the_grid(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    crew = [driver.start(tmp_path) for _ in range(2)]
    for process in crew:
        process.join()
    assert [process.exitcode for process in crew] == [0, 0]
    assert driver.numbers(tmp_path) == undisturbed and len(undisturbed) == 4
    counted = events(tmp_path)
    assert {counted[key] for key in counted if key[1] in ("started", "ended")} == {1}


@pytest.mark.long
def test_a_worker_that_dies_is_replaced_and_a_deadly_cell_is_left_alone(tmp_path: Path) -> None:
    deadly = {"set": [*TINY["set"], "Noisy.fault='SIGKILL'", "Noisy.at=1"]}
    with pytest.raises(
        CellsFailed, match=r"noisy on counts.*\n?.*its process ended \(SIGKILL"
    ) as e:
        driver.run(tmp_path, jobs=2, seeds=[1], checkpoint_minutes=5, **deadly)
    assert [record.method.name for record in e.value.records] == ["zeroshot"]


def test_a_failing_cell_is_reported_with_its_log_and_left_alone(tmp_path: Path) -> None:
    broken = {"set": [*TINY["set"], "Noisy.fault='broken'", "Noisy.at=2"], "seeds": [1]}
    with pytest.raises(CellsFailed, match="1 of 2 cells failed; 1 has its record") as caught:
        driver.run(tmp_path, **broken)
    assert caught.value.exit_code == 1
    assert "ZeroDivisionError: a plugin's own mistake (noisy.py, line" in str(caught.value)
    (log,) = tmp_path.rglob("failed.log")
    assert str(log) in str(caught.value) and "Traceback" in log.read_text()
    before = events(tmp_path)
    with pytest.raises(CellsFailed, match="--retry-failed"):
        driver.run(tmp_path, **broken)
    assert events(tmp_path) == before  # left alone
    with pytest.raises(CellsFailed):
        driver.run(tmp_path, retry_failed=True, **broken)
    assert events(tmp_path)[log.parent.name, "started"] == 2


def test_what_is_mended_succeeds_when_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any]
) -> None:
    noisy = METHODS.load(METHODS.add_file(NOISY)).cls
    with monkeypatch.context() as patch, pytest.raises(CellsFailed):
        patch.setattr(noisy, "losses", lambda *_: 1 / 0)
        driver.run(tmp_path)
    driver.run(tmp_path, retry_failed=True, checkpoint_minutes=5)
    assert driver.numbers(tmp_path) == undisturbed
    assert not list(tmp_path.rglob("failed.log"))


def test_a_held_cell_is_passed_over_and_taken_when_its_holder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder lets go, without a record, as soon as everybody else has nothing left to do."""
    METHODS.add_file(NOISY)
    request = Request(["noisy"], "base_to_new", datasets=["counts"], seeds=[1, 2])
    held, free = plan.build(request, "fp32", tmp_path).cells[2:]
    order: list[int] = []
    lab: Any = SimpleNamespace(out=tmp_path, listener=Listener())

    def compute(cell: Cell, *_: Any) -> None:
        order.append(cell.seed)
        failures.write(cell, tmp_path, "settled")

    monkeypatch.setattr(here, "_attempt", compute)
    with ExitStack() as stack:
        assert stack.enter_context(leases.claimed(leases.place(tmp_path, "cell", held.id)))
        monkeypatch.setattr(time, "sleep", lambda _: stack.close())
        here.work_through([held, free], lab, compute)
    assert order == [2, 1]


def test_workers_take_several_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    every, one, none = (torch.device(name) for name in ("cuda", "cuda:1", "cpu"))
    numbers = [[processes._gpu(device, slot) for slot in range(4)] for device in (every, one, none)]
    assert numbers == [[0, 1, 2, 0], [1] * 4, [None] * 4]


@pytest.mark.parametrize(
    ("before", "seen"),
    [
        (None, ["0", "2", None]),
        ("4,5,7", ["4", "7", "4,5,7"]),
        ("GPU-8932f937, MIG-1, GPU-a", ["GPU-8932f937", "GPU-a", "GPU-8932f937, MIG-1, GPU-a"]),
        (
            "MIG-GPU-8932f937/1/0,MIG-GPU-8932f937/2/0,MIG-c7384736-a75d-5afc-978f-d2f1294409fd",
            [
                "MIG-GPU-8932f937/1/0",
                "MIG-c7384736-a75d-5afc-978f-d2f1294409fd",
                "MIG-GPU-8932f937/1/0,MIG-GPU-8932f937/2/0,"
                "MIG-c7384736-a75d-5afc-978f-d2f1294409fd",
            ],
        ),
    ],
)
def test_a_worker_sees_one_gpu_of_those_that_the_run_sees(
    monkeypatch: pytest.MonkeyPatch, before: str | None, seen: list[str | None]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    found = []
    for number in (0, 2, None):
        with processes._seeing_one_gpu(number):
            found.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
    assert found == seen


def test_a_worker_sees_one_of_amds_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """What names them in AMD's own way goes first there, where it is set."""
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.version, "hip", "6.2")
    with processes._seeing_one_gpu(1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "2,3")
    with processes._seeing_one_gpu(1):
        assert os.environ["HIP_VISIBLE_DEVICES"] == "3"
    assert os.environ["HIP_VISIBLE_DEVICES"] == "2,3"


def test_a_replacement_takes_the_gpu_of_the_worker_that_died(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of three workers on three GPUs each dies once, in another order than they were started."""
    seen: list[str] = []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def started(*, args: tuple[Any, ...], **_: Any) -> Any:
        assert str(Work.unpacked(args[0]).compute.device) == "cuda:0"  # the only one that it sees

        def start() -> None:
            seen.append(os.environ["CUDA_VISIBLE_DEVICES"])

        return SimpleNamespace(start=start, join=lambda *_: None, exitcode=-signal.SIGKILL)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(processes, "_SPAWN", SimpleNamespace(Pipe=_SPAWN.Pipe, Process=started))
    compute = Compute(torch.device("cuda"), "fp32")
    crew = processes._Crew(Work([], [], Machine(out=tmp_path), compute, Listener()))
    for slot in range(3):
        crew.start(slot)
    for worker in (crew.workers[1], crew.workers[0]):
        processes._bury(worker, crew, Counter())
    assert seen == ["0", "1", "2", "1", "0"]


def test_progress_of_several_processes_shares_one_display() -> None:
    shown = io.StringIO()
    ours, theirs = _SPAWN.Pipe(duplex=False)
    terminal = Terminal(Console(file=shown, force_terminal=True, width=120))
    receiver, remote = Receiver(terminal, {}), Remote(theirs)

    def pass_on() -> None:
        while ours.poll():
            receiver.take(*ours.recv())

    with terminal.task("here", 2, "steps") as task:
        with remote.task("there", 3, "images") as other:
            pass_on()
            task.advance(2)
            other.advance(3, "loss 1")
        pass_on()
        remote.message("a\x1bb")
        pass_on()
    assert "here: 2 steps in" in shown.getvalue() and "there: 3 images in" in shown.getvalue()
    assert "a\ufffdb" in shown.getvalue() and terminal._display is None


def test_a_parent_that_is_gone_is_not_told() -> None:
    ours, theirs = _SPAWN.Pipe(duplex=False)
    ours.close()
    remote = Remote(theirs)
    with remote.task("there", 3, "images") as task:
        task.advance(3)
    remote.message("nobody hears this")


def test_predictions_that_are_no_numbers_fail_their_cells_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: ZeroShot, images: Tensor, prepared: Tensor) -> Tensor:
        return torch.full((len(images), len(prepared)), float("nan"))

    monkeypatch.setattr(ZeroShot, "logits", broken)
    with pytest.raises(CellsFailed, match="returned logits that are not a number") as caught:
        driver.run(tmp_path)
    assert {record.method.name for record in caught.value.records} == {"noisy"}


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--jobs must be at least 1"):
        driver.run(tmp_path, jobs=0)
    with pytest.raises(UserError, match="--checkpoint-minutes must be at least 0"):
        driver.run(tmp_path, checkpoint_minutes=-1)
