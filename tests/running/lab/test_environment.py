"""What a record says of the machine, and what a run leaves of its settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from promptbench.errors import UserError
from promptbench.models.backbones import loading
from promptbench.planning import plan
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.running.executor import Work
from promptbench.running.lab import environment
from promptbench.running.lab.compute import Compute
from promptbench.support import version
from promptbench.tracking import Listener

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def test_a_git_that_does_not_answer_costs_the_revision_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def slow(command: list[str], **_: Any) -> None:
        asked.append(command)
        raise subprocess.TimeoutExpired(command, 30)

    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(version, "PACKAGE", tmp_path / "promptbench")
    monkeypatch.setattr(subprocess, "run", slow)
    assert environment.git_revision.__wrapped__() is None
    assert asked


@pytest.mark.parametrize("before", [None, ":16:8"])
def test_a_run_leaves_the_settings_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    """Whoever calls `promptbench.run` computes afterwards as before, even if it fails."""
    if before is None:
        monkeypatch.delenv(WORKSPACE, raising=False)
    else:
        monkeypatch.setenv(WORKSPACE, before)
    inside: list[Any] = []

    def load(*_: Any) -> None:
        strict = not torch.is_deterministic_algorithms_warn_only_enabled()
        inside.extend([torch.are_deterministic_algorithms_enabled() and strict])
        inside.extend([torch.backends.cudnn.allow_tf32, os.environ[WORKSPACE]])
        torch.set_num_threads(threads + 1)
        raise UserError("no weights")

    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(loading, "load", load)
    request = Request(["coop"], "few_shot", datasets=["counts"])
    made = plan.build(request, "fp32", tmp_path)
    with pytest.raises(UserError, match="no weights"):
        compute = Compute(torch.device("cuda"), "fp32")
        Work([made], made.cells, Machine(out=tmp_path), compute, Listener()).compute_here()
    assert inside == [True, False, before or ":4096:8"]
    assert os.environ.get(WORKSPACE) == before
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.allow_tf32 is tf32
    assert torch.get_num_threads() == threads
