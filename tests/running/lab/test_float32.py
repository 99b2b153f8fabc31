"""Float32 is full float32 in a run, whatever was set before, and the caller's settings return."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from promptbench.running.lab import arithmetic, float32

CPU = torch.device("cpu")
BACKENDS: Any = torch.backends
FILLING: Any = torch.utils.deterministic


def newer(place: Any, value: str) -> Callable[[], None]:
    def change() -> None:
        if not hasattr(place, "fp32_precision"):
            pytest.skip("this torch has the older switches only")
        place.fp32_precision = value

    return change


def older(place: Any, value: bool) -> Callable[[], None]:
    return lambda: setattr(place, "allow_tf32", value)


CHANGES: dict[str, tuple[Callable[[], None], ...]] = {
    "nothing": (),
    "high": (lambda: torch.set_float32_matmul_precision("high"),),
    "medium": (lambda: torch.set_float32_matmul_precision("medium"),),
    "older": (older(BACKENDS.cuda.matmul, True), older(BACKENDS.cudnn, True)),
    "newer": (newer(BACKENDS.cuda.matmul, "tf32"),),
    "general": (newer(BACKENDS, "tf32"),),
    "convolutions": (newer(getattr(BACKENDS.cudnn, "conv", None), "ieee"),),
    "both": (
        lambda: torch.set_float32_matmul_precision("high"),
        newer(BACKENDS.cuda.matmul, "ieee"),
    ),
    "sums": (
        lambda: setattr(BACKENDS.cuda.matmul, "allow_fp16_reduced_precision_reduction", True),
        lambda: setattr(BACKENDS.cuda.matmul, "allow_bf16_reduced_precision_reduction", False),
    ),
}


def read(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except RuntimeError:
        return "contradicts itself"


def switches() -> dict[str, Any]:
    """Everything that can be read, and whether it can."""
    return {
        "matmul": read(torch.get_float32_matmul_precision),
        "cublas": read(lambda: BACKENDS.cuda.matmul.allow_tf32),
        "cudnn": read(lambda: BACKENDS.cudnn.allow_tf32),
        "newer": [place.fp32_precision for place in float32._newer()],
        "sums": [float32._sum(name) for name in float32._sums()],
        "benchmark": BACKENDS.cudnn.benchmark,
    }


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with float32.restored():
        yield


@pytest.mark.parametrize("name", CHANGES)
def test_float32_is_full_in_a_run_and_the_callers_own_outside(name: str) -> None:
    for change in CHANGES[name]:
        change()
    before = switches()
    with arithmetic.restored():
        arithmetic.settle(CPU, None)
        within = switches()
        assert within["matmul"] == "highest"  # what cannot be read raises in torch's compiler, too
        assert within["cublas"] is within["cudnn"] is False
        assert set(within["newer"]) <= {"ieee"}
        assert not any(value[0] if isinstance(value, tuple) else value for value in within["sums"])
    assert switches() == before


def test_the_environment_does_not_decide() -> None:
    """torch reads this variable as it starts; NVIDIA's libraries read theirs when they load."""
    code = (
        "import os, torch; from promptbench.running.lab import arithmetic\n"
        "assert torch.backends.cuda.matmul.allow_tf32\n"
        "with arithmetic.restored():\n"
        "    arithmetic.settle(torch.device('cpu'), None)\n"
        "    assert not torch.backends.cuda.matmul.allow_tf32\n"
        "    assert os.environ['NVIDIA_TF32_OVERRIDE'] == '0'\n"
        "assert torch.backends.cuda.matmul.allow_tf32\n"
        "assert os.environ['NVIDIA_TF32_OVERRIDE'] == '1'\n"
    )
    settings = {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1", "NVIDIA_TF32_OVERRIDE": "1"}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **settings}, check=True)


@pytest.mark.parametrize(
    ("before", "inside"),
    [(None, ":4096:8"), (":16:8", ":16:8"), (":4096:2", ":4096:8"), ("", ":4096:8")],
)
def test_a_gpu_is_settled_and_left(
    monkeypatch: pytest.MonkeyPatch, before: str | None, inside: str
) -> None:
    """cuBLAS is repeatable with two sizes of its workspace only."""
    if before is None:
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    else:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", before)
    monkeypatch.setattr(FILLING, "fill_uninitialized_memory", True)
    chosen: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    BACKENDS.cudnn.benchmark = True
    try:
        with arithmetic.restored():
            arithmetic.settle(torch.device("cuda", 1), None)
            assert torch.are_deterministic_algorithms_enabled()
            assert not BACKENDS.cudnn.benchmark
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == inside
            assert not FILLING.fill_uninitialized_memory
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == before
        assert FILLING.fill_uninitialized_memory
        assert BACKENDS.cudnn.benchmark
    finally:
        BACKENDS.cudnn.benchmark = False
    assert not torch.are_deterministic_algorithms_enabled()
    assert chosen == [torch.device("cuda", 1), 3]
