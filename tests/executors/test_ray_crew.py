"""The workers of a run on Ray, without Ray: what keeps a run without workers from giving up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptbench.errors import RunError
from promptbench.executors._ray import engine
from promptbench.executors._ray.crew import Crew
from promptbench.executors._ray.shares import Places, Terms
from promptbench.executors._ray.worker import reason_to_end


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


LEFT: dict[str, Any] = {
    "a": SimpleNamespace(
        leg=SimpleNamespace(
            source=SimpleNamespace(dataset="shapes"), targets=(SimpleNamespace(dataset="counts"),)
        )
    )
}


def _worker(*, ready: bool, without: str = "") -> Any:
    slot = SimpleNamespace(node=SimpleNamespace(name="far"))
    return SimpleNamespace(slot=slot, ready=ready, without=frozenset(without))


CASES: dict[str, tuple[dict[str, Any], str | None]] = {
    "nothing is left": ({"left": {}, "waited": 99}, None),
    "another is at it": ({"workers": [_worker(ready=True)], "waited": 99}, None),
    "one may come": ({"free": 1, "waited": 59}, None),
    "one is on its way": ({"workers": [_worker(ready=False)], "waited": 59}, None),
    "nobody came": (
        {"free": 1, "waited": 60},
        ", and no worker came within 60 s ([ray] wait in a machine profile); `ray status` shows "
        "what the cluster has free",
    ),
    "data are missing": (
        {"workers": [_worker(ready=True, without="a")], "waited": 0},
        " that no node can compute: they need shapes, counts, and far said what of it is not there",
    ),
    "data are missing, and one may come": (
        {"workers": [_worker(ready=True, without="a")], "free": 1, "waited": 59},
        None,
    ),
    "all are given up": (
        {"given_up": ["no disk", "no disk", "no GPU"], "waited": 0},
        " and no worker: no disk; no GPU",
    ),
    "some are given up": ({"given_up": ["no disk"], "free": 1, "waited": 59}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_why_a_run_waits_no_longer(case: str) -> None:
    given, said = CASES[case]
    usual: dict[str, Any] = {"left": LEFT, "workers": [], "free": 0, "given_up": [], "most": 60}
    assert reason_to_end(**{**usual, **given}) == said
