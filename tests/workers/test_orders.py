"""The plan file: elsewhere it means what it meant where it was written, or a worker refuses it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from promptbench.errors import UserError
from promptbench.planning import edge
from promptbench.planning.grids import Grid
from promptbench.running.session import plans_of
from promptbench.workers.plan import orders, pins, roster
from promptbench.workers.plan.orders import Order
from promptbench.workers.working import work
from promptbench.workers.working.span import Span


def order_of(out: Path, *methods: str, **options: Any) -> Order:
    options = {"datasets": "counts", "limit": 20, "seeds": 1, "out": out, **options}
    requests, machine = edge.asked(Grid(methods or ("coop",), ("base_to_new",)), options)
    plans, compute = plans_of(requests, machine)
    return orders.make(plans, machine, compute.precision)


def test_a_plan_file_reads_as_it_was_written(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.gin").write_text("base_to_new/Recipe.epochs = 2\n")
    made = order_of(Path("runs"), gin="own.gin", track="jsonl", checkpoint_minutes=1)
    path = made.write()
    monkeypatch.chdir("/")
    again = orders.read(path)
    assert again == made
    assert again.machine.out == tmp_path / "runs"
    assert again.requests[0].gin == (tmp_path / "own.gin",)
    assert orders.read(path.parent) == made and orders.all_of(tmp_path / "runs") == [path]
    elsewhere = orders.read(path, out=tmp_path / "mounted")
    assert elsewhere.machine.out == tmp_path / "mounted"


def test_what_failed_is_forgotten_by_who_submits_and_not_by_each_worker(tmp_path: Path) -> None:
    assert not order_of(tmp_path, retry_failed=True).machine.retry_failed


def test_all_methods_stay_all_those_that_fit(tmp_path: Path) -> None:
    made = order_of(tmp_path, "all", shots=1)
    again = orders.read(made.write())
    assert again == made and again.requests[0].every


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 7}, "it has version 7, and promptbench"),
        ({"requests": "coop"}, "requests: Input should be a valid list"),
        ({"further": 1}, "further: Extra inputs are not permitted"),
        ({"machine": {"outt": "x"}}, "unknown option 'outt'; did you mean 'out'"),
        ({"requests": [{"methods": ["coop"], "protocol": "few"}]}, "unknown protocol 'few'"),
        ({"machine": {"jobs": "many"}}, "jobs must be a whole number"),
    ],
)
def test_what_is_not_a_plan_file_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = order_of(tmp_path).write()
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=said):
        orders.read(path)


def test_differences_are_named_and_cells_only_where_nothing_else_differs() -> None:
    pinned = {"torch": "2.4", "revision": "a", "cells of few_shot (1)": "x", "method coop": "h"}
    assert pins.differences(pinned, pinned) == []
    assert pins.differences(pinned, pinned | {"revision": None}) == []
    assert pins.differences(pinned, pinned | {"revision": "b"}) == ["revision b instead of a"]
    (cells,) = pins.differences(pinned, pinned | {"cells of few_shot (1)": "y"})
    assert cells.startswith("other cells of few_shot (1) (its settings, cards")
    both = pinned | {"cells of few_shot (1)": "y", "torch": "2.5", "method coop": "g"}
    assert pins.differences(pinned, both) == [
        "torch 2.5 instead of 2.4",
        "other sources of method coop",
    ]


def test_a_worker_of_other_code_takes_no_part_and_leaves_word(tmp_path: Path) -> None:
    path = order_of(tmp_path).write()
    plain = json.loads(path.read_text())
    plain["pins"]["torch"] = "1.0"
    path.write_text(json.dumps(plain))
    with pytest.raises(work.Refusal, match=r"takes no part: .* torch .* instead of 1\.0"):
        work.carry_out(path)
    (word,) = (path.parent / work.REFUSALS).iterdir()
    assert "instead of 1.0" in word.read_text()
    assert not list(tmp_path.glob("demo/*/*/*/record.json"))


def test_settings_that_changed_since_are_other_cells(tmp_path: Path) -> None:
    (tmp_path / "own.gin").write_text("base_to_new/Recipe.epochs = 2\n")
    path = order_of(tmp_path / "runs", gin=tmp_path / "own.gin").write()
    (tmp_path / "own.gin").write_text("base_to_new/Recipe.epochs = 3\n")
    with pytest.raises(work.Refusal, match=r"other cells of base_to_new \(1\) \(its settings"):
        work.carry_out(path)


def test_a_worker_computes_what_one_process_computes(tmp_path: Path) -> None:
    import promptbench

    options: dict[str, Any] = {"datasets": "counts", "limit": 20, "seeds": 1, "shots": 1}
    set_ = ["Recipe.epochs=1"]
    path = order_of(tmp_path / "a", shots=1, set=set_).write()
    assert work.carry_out(path) == 0
    promptbench.run("coop", "base_to_new", **options, set=set_, out=tmp_path / "b", quiet=True)
    one, other = (sorted((tmp_path / name).glob("demo/**/predictions/*")) for name in "ab")
    assert one and [p.read_bytes() for p in one] == [p.read_bytes() for p in other]


def test_a_worker_does_not_have_what_is_for_the_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trackers hear of cells only; who submitted the run writes the tables of all."""
    said: list[bool] = []
    monkeypatch.setattr(work, "compute_pending", lambda *_, whole: said.append(whole))
    work.carry_out(order_of(tmp_path, shots=1).write())
    assert said == [False]


def test_the_plan_of_a_script_gets_its_list_of_cells_from_the_first_worker(tmp_path: Path) -> None:
    """A batch script writes the plan file only, and Slurm says when its job ends."""
    order = order_of(tmp_path, shots=1, set=["Recipe.epochs=1"])
    order.folder.mkdir(parents=True)
    order.path.write_text(order.text())
    assert work.carry_out(order.path, span=Span(time.time(), time.time() + 7200)) == 0
    assert roster.read(order.folder) == order.cells
