"""What torch cannot do as asked on a machine is done without, and told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from promptbench.running import retry
from promptbench.running.lab import arithmetic


class Towers:
    def __init__(self, compiled: bool) -> None:
        self.is_compiled = compiled

    def uncompile(self) -> None:
        self.is_compiled = False

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        before, self.is_compiled = self.is_compiled, False
        try:
            yield
        finally:
            self.is_compiled = before


class Lab:
    def __init__(self, compiled: bool = False) -> None:
        self.backbone = SimpleNamespace(towers=Towers(compiled))
        self.listener = SimpleNamespace(message=lambda text: self.told.append(text))
        self.told: list[str] = []
        self.compute = SimpleNamespace(device=torch.device("cpu"))

    def release_memory(self) -> None:
        pass


CELL: Any = SimpleNamespace(label="a cell")


def computed(monkeypatch: pytest.MonkeyPatch, lab: Lab, function: Any) -> Any:
    monkeypatch.setattr(retry, "run_cell", lambda cell, lab: function(lab))
    given: Any = lab
    return retry.run_cell_somehow(CELL, given)


def test_an_operation_that_is_never_deterministic_runs_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def put(_: Lab) -> Any:
        return torch.zeros(2).put_(torch.tensor([1]), torch.tensor([3.0])).tolist()

    lab = Lab()
    with arithmetic.restored():
        torch.use_deterministic_algorithms(True)
        assert computed(monkeypatch, lab, put) == [0, 3]
        assert torch.are_deterministic_algorithms_enabled()  # the next cell is, again
    (told,) = lab.told
    assert told.startswith("a cell: put_ has no deterministic implementation")


def test_what_fails_compiled_is_computed_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(lab: Lab) -> str:
        if lab.backbone.towers.is_compiled:
            raise RuntimeError("backward graph\ncannot be captured")
        return "record"

    lab = Lab(compiled=True)
    assert computed(monkeypatch, lab, run) == "record"
    assert not lab.backbone.towers.is_compiled  # nor are later cells tried compiled
    (told,) = lab.told
    assert "trying without --compile: RuntimeError: backward graph cannot be captured" in told


@pytest.mark.parametrize("compiled", [False, True])
def test_an_error_of_its_own_and_a_full_memory_are_raised(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    def broken(_: Lab) -> None:
        raise RuntimeError("shapes differ")

    def full(_: Lab) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    lab = Lab(compiled)
    with pytest.raises(RuntimeError, match="shapes differ"):
        computed(monkeypatch, lab, broken)
    assert lab.backbone.towers.is_compiled is compiled  # its code was not to blame
    with pytest.raises(torch.cuda.OutOfMemoryError):  # smaller pieces are tried first
        computed(monkeypatch, lab, full)
    assert lab.backbone.towers.is_compiled is compiled
