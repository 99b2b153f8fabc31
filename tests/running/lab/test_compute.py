"""Devices, precisions, and the optimisers' fused steps."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
import torch

from promptbench.contract import TRAIN, tiny_towers
from promptbench.core.recipe import Recipe
from promptbench.data.loader import Batch
from promptbench.errors import UserError
from promptbench.methods.coop import CoOp
from promptbench.planning.machine import Machine
from promptbench.running.lab import compute, environment
from promptbench.running.lab.compute import of_machine, processor, resolve


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_fused_steps_are_the_plain_ones(kind: Literal["adamw", "sgd"]) -> None:
    ends = []
    for fused in (False, True, True):
        torch.manual_seed(0)
        method = CoOp(tiny_towers(), TRAIN)
        optimizer = Recipe(optimizer=kind, lr=0.01).build_optimizer(method, fused=fused)
        for number in range(3):
            method.ctx.grad = torch.full_like(method.ctx, 0.1 * (number + 1))
            optimizer.step()
        ends.append(method.ctx.detach().clone())
    assert (ends[1] - ends[0]).abs().max() <= 1e-6 * ends[0].abs().max()
    assert torch.equal(ends[1], ends[2])


def test_batches_arrive_in_order_with_their_tensors() -> None:
    made = [
        Batch(torch.full((2, 3, 4, 4), float(i)), torch.tensor([i, i]), ("a", "b"))
        for i in range(5)
    ]
    compute = resolve("cpu", "auto")
    seen = [(float(images.mean()), labels.tolist()) for _, images, labels in compute.placed(made)]
    assert seen == [(float(i), [i, i]) for i in range(5)]


def test_a_device_has_one_name() -> None:
    """A record, the cache of features and a benchmark name the same machine."""
    compute = resolve("cpu", "fp32")
    assert compute.device_name == processor() == environment.describe(compute).device
    assert compute.device_name not in ("", "cpu")


def test_precisions() -> None:
    assert resolve("cpu", "auto").dtype == torch.float32
    bf16 = resolve("cpu", "bf16")
    assert bf16.dtype == torch.bfloat16 and not bf16.scaler().is_enabled()
    with bf16.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert resolve("cpu", "fp16").scaler().is_enabled()
    with pytest.raises(UserError, match="unknown precision"):
        resolve("cpu", "fp8")


@pytest.mark.parametrize(
    ("device", "precision"),
    [("cuda:0", "fp16"), ("cuda:1", "bf16"), ("cuda:2", "bf16"), ("cuda:3", "fp16")],
)
def test_auto_precision_asks_the_chosen_gpu(
    monkeypatch: pytest.MonkeyPatch, device: str, precision: str
) -> None:
    """A T4 stands first; is_bf16_supported says yes to its emulation."""
    capabilities = [(7, 5), (8, 0), (12, 0), (7, 0)]

    def capability(chosen: torch.device) -> tuple[int, int]:
        return capabilities[chosen.index]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
    assert resolve(device, "auto").precision == precision
    assert resolve(device, "fp32").precision == "fp32"
    assert resolve(device, "auto", several=True).precision == precision  # one is asked for


@pytest.mark.parametrize(
    ("machine", "precision"),
    [
        (Machine(device="cuda"), "bf16"),  # the first one only
        (Machine(device="cuda", jobs=2), "fp16"),
        (Machine(device="cuda", per_gpu=2), "fp16"),
        (Machine(device="cuda:0", jobs=2), "bf16"),
    ],
)
def test_auto_precision_is_one_that_all_gpus_compute_in(
    monkeypatch: pytest.MonkeyPatch, machine: Machine, precision: str
) -> None:
    """An A100 stands first, a T4 behind it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda gpu: (7, 5) if gpu.index else (8, 0)
    )
    assert of_machine(machine).precision == precision


def test_batches_are_sent_to_the_device_from_a_thread_on_which_it_is_current(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pinned memory belongs to a device."""
    current: list[torch.device] = []
    seen: list[tuple[torch.device, ...]] = []

    @contextmanager
    def on(device: torch.device) -> Iterator[None]:
        current.append(device)
        yield
        current.pop()

    def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        seen.append((*current, device))
        return tensor

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(compute, "sent", sent)
    gpu = torch.device("cuda", 1)
    batch = Batch(torch.ones(1, 3, 2, 2), torch.zeros(1, dtype=torch.int64), ("a",))
    assert len([*compute.Compute(gpu, "fp32").placed([batch])]) == 1
    assert seen == [(gpu, gpu), (gpu, gpu)]


def test_a_step_imports_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless something is compiled, whose graphs are then told."""
    told: list[int] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: told.append(1))
    monkeypatch.delitem(sys.modules, compute._GRAPHS_OF_COMPILED, raising=False)
    gpu = compute.Compute(torch.device("cuda"), "bf16")
    gpu.begin_step()
    assert not told
    monkeypatch.setitem(sys.modules, compute._GRAPHS_OF_COMPILED, compute)
    gpu.begin_step()
    compute.Compute(torch.device("cpu"), "bf16").begin_step()
    assert len(told) == 1


@pytest.mark.parametrize(
    "name",
    ["mps", "xpu", "meta", "hpu", "vulkan", "cuda:x", "cuda:-1", "cuda:", "cuda:01", "cuda:١",
     "cpu:0", "cpu:1", "CPU", "cuda:999", "cuda:99999999999999999999", "", "auto:0", "cpu\n"],
)  # fmt: skip
@pytest.mark.parametrize("gpus", [0, 2])
def test_a_device_of_another_kind_is_refused_with_those_of_this_machine(
    name: str, gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(UserError) as found:
        resolve(name, "fp32")
    here = "auto, cpu, cuda, cuda:0, cuda:1" if gpus else "auto, cpu"
    assert str(found.value) == (
        f"unknown device {name!r}; promptbench computes on auto, cpu, cuda or cuda:N, on this "
        f"machine: {here}"
    )


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert str(resolve("cuda:1", "fp32").device) == "cuda:1"
    assert str(resolve("auto", "fp32").device) == str(resolve("cuda", "fp32").device) == "cuda"
    with pytest.raises(UserError, match="device 'cuda:2' is not there; this machine has 2"):
        resolve("cuda:2", "fp32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device 'cuda' is not available"):
        resolve("cuda", "fp32")
