"""The workers of a run on Ray, without Ray: what keeps a run without workers from giving up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptbench.errors import RunError
from promptbench.executors import _ray_engine as engine
from promptbench.executors._ray_crew import Crew
from promptbench.executors._ray_shares import Places, Terms


@pytest.mark.parametrize("others_end_cells", [True, False])
def test_a_run_without_a_worker_waits_while_others_end_its_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others_end_cells: bool
) -> None:
    monkeypatch.setattr(engine, "nodes", dict)
    crew: Any = object.__new__(Crew)
    ended = ["a cell"] if others_end_cells else []
    crew.board = SimpleNamespace(left={"b": "b"}, out=tmp_path, ended_elsewhere=lambda: ended)
    crew.heard = SimpleNamespace(tell_the_rest=lambda *_: None, message=lambda _: None)
    crew.order = SimpleNamespace(folder=tmp_path)
    crew.terms = Terms("cpu", per_gpu=1, cpus=1, mixed=False, wait=60)
    crew.workers, crew._said, crew._alive = [], set(), 0.0
    crew._places = Places(crew.terms, jobs=1)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    crew._look_around()
    if others_end_cells:
        crew._refuse_if_stuck()
    else:
        with pytest.raises(RunError, match="1 cell left, and no worker came within 100 s"):
            crew._refuse_if_stuck()
