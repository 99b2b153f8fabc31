"""What errors of a GPU come to: smaller pieces, or another process, and no cell that is blamed."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from promptbench.errors import UserError
from promptbench.executors import _worker as worker
from promptbench.executors import processes
from promptbench.models import gpu_errors
from promptbench.models.gpu_errors import GpuFull, GpuLost, is_lost, is_out_of_memory
from promptbench.planning import plan
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.running import executor, failures, here, retry
from promptbench.running.executor import Work
from promptbench.running.lab import shared
from promptbench.running.lab.compute import Compute
from promptbench.tracking import Listener
from promptbench.workers.working import work

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
FAULT = "CUDA error: an illegal memory access was encountered\nCompile with ..."


@pytest.mark.parametrize(
    ("message", "full"),
    [
        ("CUDA error: out of memory\nCUDA kernel errors might be asynchronous", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", True),
        ("CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasLtCreate(&handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", True),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED", True),
        ("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`", True),
        ("cusolver error: CUSOLVER_STATUS_NOT_INITIALIZED, when calling `cusolverDnCreate`", True),
        ("CUDA driver error: out of memory", True),
        ("HIP error: out of memory\nHIP kernel errors might be asynchronous", True),
        ("Triton Error [CUDA]: out of memory", True),
        ("Triton Error [CUDA]: an illegal memory access was encountered", False),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", False),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(handle)`", False),
        (FAULT, False),
        ("CUDA error: device-side assert triggered", False),
    ],
)
def test_a_full_memory_is_known_by_its_words(message: str, full: bool) -> None:
    assert is_out_of_memory(RuntimeError(message)) is full
    wrapped = ValueError("a plugin's own words")
    wrapped.__cause__ = RuntimeError(message)
    assert is_out_of_memory(wrapped) is full
    assert not is_out_of_memory(ValueError(message))
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory."))


def lab_of(device: torch.device, towers: SimpleNamespace, told: list[str]) -> retry.Lab:
    """A lab with nothing in it but these towers, whose listener's messages are `told`."""
    keeper: Any = SimpleNamespace(backbone=SimpleNamespace(towers=towers))
    listener: Any = SimpleNamespace(message=told.append)
    return retry.Lab(keeper, {}, Compute(device, "fp32"), 0, Path(), listener)


def test_a_full_memory_of_any_kind_is_tried_again_with_less() -> None:
    towers = SimpleNamespace(class_chunk=None, is_compiled=False)
    told: list[str] = []
    lab = lab_of(CPU, towers, told)
    freed: list[str] = []
    towers.forget = lambda: freed.append("texts")
    towers.release_compiled = lambda: freed.append("graphs")

    def run(cell: Any, lab: Any) -> Any:
        if towers.class_chunk is None:
            raise RuntimeError("CUDA error: out of memory\nmore of it. Or less.")
        return towers.class_chunk

    cell: Any = SimpleNamespace(label="a cell")
    assert retry.within_memory(run, cell, lab) == 64
    assert len(told) == 1 and freed == ["texts", "graphs"]
    towers.is_compiled = True  # then graphs of other cells may fill the memory
    assert retry.within_memory(run, cell, lab) == 64
    assert [text.partition("again ")[2] for text in told[1:]] == [
        "without CUDA graphs, also those of what was computed before",
        "with 64 class prompts and 25 test images at a time",
    ]

    def broken(cell: Any, lab: Any) -> Any:
        raise RuntimeError(FAULT)

    with pytest.raises(RuntimeError, match="illegal memory access"):
        retry.within_memory(broken, cell, lab)


def test_a_full_gpu_is_tried_again_without_graphs_first() -> None:
    """Their memory serves nothing else, and smaller pieces have other last bits."""
    towers = SimpleNamespace(class_chunk=None, is_compiled=False)
    towers.forget = towers.release_compiled = lambda: None
    told: list[str] = []
    lab = lab_of(torch.device("cuda"), towers, told)
    seen: list[tuple[bool, int | None]] = []

    def run(cell: Any, lab: Any) -> Any:
        seen.append((lab.graphs, towers.class_chunk))
        if len(seen) < 3:
            raise RuntimeError("CUDA error: out of memory")
        return "its record"

    cell: Any = SimpleNamespace(label="a cell")
    assert retry.within_memory(run, cell, lab) == "its record"
    assert seen == [(True, None), (False, None), (False, 64)]
    assert "without CUDA graphs" in told[0]


@pytest.mark.parametrize(("device", "size"), [("cpu", 100), ("cuda:0", 7)])
def test_only_a_gpu_classifies_fewer_images_at_a_time(device: str, size: int) -> None:
    lab = replace(lab_of(torch.device(device), SimpleNamespace(), []), eval_batch=7)
    assert lab.images_at_once == size


def answering(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    """A GPU that does, or raises from now on."""

    def synchronize(_: torch.device) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.zeros(1))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: device)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: None)


def test_a_gpu_is_lost_if_it_fails_whatever_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_lost(CPU)
    answering(monkeypatch, RuntimeError(FAULT))
    assert is_lost(GPU) and not is_lost(CPU)
    answering(monkeypatch, RuntimeError("CUDA error: out of memory"))
    assert not is_lost(GPU)
    answering(monkeypatch, None)
    assert not is_lost(GPU)


def work_on(out: Path) -> tuple[Work, Any]:
    request = Request(["coop"], "base_to_new", datasets=["counts"], seeds=[1, 2])
    made = plan.build(request, "fp32", out)
    return Work([made], made.cells, Machine(out=out), Compute(GPU, "fp32"), Listener()), made.cells


@pytest.mark.parametrize("lost", [True, False])
def test_a_lost_gpu_ends_the_run_and_no_cell_is_blamed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lost: bool
) -> None:
    work, cells = work_on(tmp_path)
    lab: Any = SimpleNamespace(
        out=tmp_path,
        listener=Listener(),
        compute=work.compute,
        keeper=SimpleNamespace(renew=lambda: None),
    )
    tried = []

    def run(cell: Any, _: Any) -> Any:
        tried.append(cell.id)
        raise RuntimeError(FAULT)

    monkeypatch.setattr(here, "within_memory", lambda run, cell, lab: run(cell, lab))
    answering(monkeypatch, RuntimeError(FAULT) if lost else None)
    if not lost:
        here.work_through(cells, lab, run)
        assert len(tried) == len(cells)
        assert all(failures.reason_of(cell, tmp_path) for cell in cells)
        return
    with pytest.raises(GpuLost) as caught:
        here.work_through(cells, lab, run)
    assert tried == [cells[0].id]
    assert failures.not_failed(cells, tmp_path) == list(cells)
    message = str(caught.value)
    assert message.startswith(f"{cells[0].label}: the GPU cuda:0 does not answer this process")
    assert "RuntimeError: CUDA error: an illegal memory access" in message
    assert "run the same command again" in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_what_fails_on_the_way_out_does_not_hide_the_loss(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def leaving_asks_the_gpu(*_: Any) -> Iterator[None]:
        try:
            yield
        finally:
            raise RuntimeError(FAULT)

    def lose(*_: Any) -> None:
        raise GpuLost("a cell", "gone")

    monkeypatch.setattr(here, "seeded", leaving_asks_the_gpu)
    monkeypatch.setattr(here, "open_lab", lambda *_: None)
    monkeypatch.setattr(here, "work_through", lose)
    with pytest.raises(GpuLost, match="a cell: gone; the cell is not counted as failed"):
        work_on(tmp_path)[0].compute_here()
    monkeypatch.setattr(here, "work_through", lambda *_: None)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        work_on(tmp_path)[0].compute_here()


def test_a_worker_tells_of_the_loss_and_exits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    ended: list[int] = []

    def lose(*_: Any) -> None:
        raise GpuLost("a cell", "gone")

    monkeypatch.setattr(worker, "_take_part", lose)
    monkeypatch.setattr(worker.os, "_exit", ended.append)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    reports: Any = SimpleNamespace(send=sent.append)
    worker.take_part(b"", False, reports)
    assert [error.reason for error in sent] == ["gone"] and ended == [worker._GPU_LOST]


def test_a_worker_that_lost_its_gpu_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    work, cells = work_on(tmp_path)
    started: list[int] = []
    crew = processes._Crew(work)
    monkeypatch.setattr(processes._Crew, "start", lambda self, slot: started.append(slot))
    deaths: Counter[str] = Counter()

    def lose(cell: Any) -> None:
        ours, theirs = processes._SPAWN.Pipe(duplex=False)
        process: Any = SimpleNamespace(join=lambda *_: None, exitcode=worker._GPU_LOST)
        receiver = processes.Receiver(Listener(), {})
        receiver.cell = cell
        lost = processes._Worker(5, process, ours, receiver)
        crew.workers.append(lost)
        theirs.send(GpuLost("a cell", "the GPU is gone"))
        theirs.close()
        assert processes._received(lost)
        assert not processes._received(lost)
        processes._bury(lost, crew, deaths)

    lose(cells[0])
    assert started == [5] and failures.reason_of(cells[0], tmp_path) is None
    lose(cells[0])
    assert failures.reason_of(cells[0], tmp_path) == "the GPU is gone, 2 times"
    lose(None)  # between cells
    assert started == [5, 5, 5]
    lose(cells[1])
    lose(cells[2])
    with pytest.raises(UserError, match="5 processes in a row have lost their GPU"):
        lose(cells[2])
    assert failures.reason_of(cells[2], tmp_path) is None


BUSY = "CUDA error: CUDA-capable device(s) is/are busy or unavailable\nCUDA kernel errors might"


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), GpuFull),
        (RuntimeError("CUDA error: out of memory"), GpuFull),
        (RuntimeError(BUSY), GpuFull),
        (RuntimeError(FAULT), GpuLost),
    ],
)
def test_what_a_gpu_raises_while_a_backbone_is_loaded_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, what: type[Exception]
) -> None:
    def load(*_: Any) -> None:
        raise error

    answering(monkeypatch, error if what is GpuLost else None)
    monkeypatch.setattr(shared.arithmetic, "settle", lambda *_: None)
    monkeypatch.setattr(here.arithmetic, "restored", nullcontext)
    monkeypatch.setattr(shared.loading, "load", load)
    with pytest.raises(what, match="the GPU cuda:0") as caught:
        work_on(tmp_path)[0].compute_here()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_worker_for_which_a_gpu_has_no_room_leaves_the_others_at_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    work, _ = work_on(tmp_path)
    listener: Any = SimpleNamespace(message=told.append)
    crew = processes._Crew(replace(work, listener=listener))
    monkeypatch.setattr(processes._Crew, "start", lambda *_: pytest.fail("it has no room"))

    def come(slot: int) -> processes._Worker:
        ours, theirs = processes._SPAWN.Pipe(duplex=False)
        process: Any = SimpleNamespace(join=lambda *_: None, exitcode=0)
        found = processes._Worker(slot, process, ours, processes.Receiver(Listener(), {}))
        crew.workers.append(found)
        theirs.send(GpuFull("it is full"))
        theirs.close()
        return found

    for each in (come(0), come(1)):
        assert processes._received(each) and not processes._received(each)
    first, last = crew.workers
    processes._bury(first, crew, Counter())
    assert told == ["one process less: it is full; the others go on"]
    with pytest.raises(GpuFull, match="it is full"):
        processes._bury(last, crew, Counter())


def test_all_processes_of_a_machine_share_its_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those of each GPU know of those of the others, and of how many share one."""
    seen: list[Machine] = []

    def start(crew: processes._Crew, slot: int) -> None:
        seen.append(crew.work.machine)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(processes._Crew, "start", start)
    monkeypatch.setattr(processes, "provide_data", lambda *_: None)
    work, cells = work_on(tmp_path)
    compute = Compute(torch.device("cuda"), "fp32")
    machine = Machine(out=tmp_path, per_gpu=3)
    processes.Processes().run(replace(work, machine=machine, compute=compute))
    count = min(6, len(cells))  # no more than there are cells
    assert [(each.jobs, each.per_gpu) for each in seen] == count * [(count, 1)]


@pytest.mark.parametrize(("device", "on"), [("cpu", None), ("cuda", "processes")])
def test_a_worker_computes_on_a_gpu_in_a_process_that_it_can_replace(
    monkeypatch: pytest.MonkeyPatch, device: str, on: str | None
) -> None:
    """Also on one GPU: a cell that ends its process would end one worker after the other."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    found = work._with_jobs(Machine(), Compute(torch.device(device), "fp32"))
    assert (found.jobs, found.on) == (1, on)
    assert executor.chosen(found).name == (on or "local")


def test_the_loss_of_a_gpu_is_an_error_of_the_run() -> None:
    assert issubclass(GpuLost, gpu_errors.RunError)
