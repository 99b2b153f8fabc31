"""A machine without some of the data takes the cells that need others; ids stay those of there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptbench.core.registry import FROM_FILES
from promptbench.data.cards import cards
from promptbench.planning import edge
from promptbench.planning.grids import Grid
from promptbench.running.session import plans_of
from promptbench.workers.handing_out import sending, unpacking
from promptbench.workers.plan import orders, pins
from promptbench.workers.working import at_hand
from tests.data.own import prepare_own
from tests.faults.driver import NOISY


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a dataset of its own, a plugin and a gin file; its folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    prepare_own("mine", tmp_path / "photos", tmp_path / "root")
    (tmp_path / "noisy.py").write_bytes(NOISY.read_bytes())
    (tmp_path / "own.gin").write_text("Recipe.epochs = 2\n")
    return tmp_path


def made(there: Path) -> tuple[orders.Order, sending.Sent]:
    grid = Grid(("noisy",), ("few_shot",))
    options = {
        **{"datasets": ["mine", "counts"], "shots": 2, "seeds": 1, "out": there / "runs"},
        **{"suite": "demo", "data": there / "root", "plugin": [there / "noisy.py"]},
        "gin": [there / "own.gin"],
    }
    requests, machine = edge.asked(grid, options)
    plans, compute = plans_of(requests, machine)
    order = orders.make(plans, machine, compute.precision)
    return order, sending.packed(order, plans)


def arrived(sent: sending.Sent, folder: Path) -> orders.Order:
    """The order as a machine reads it that shares nothing with the one it was made on."""
    path = unpacking.unpacked(sent, folder, folder / "runs", "cpu")
    return orders.read(path)


def test_files_travel_with_an_order_and_ids_hang_on_no_path(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, sent = made(there)
    forget_files()
    for name in ("noisy.py", "own.gin"):
        (there / name).unlink()
    again = arrived(sent, tmp_path / "elsewhere")
    assert again.machine.plugin[0].is_relative_to(tmp_path / "elsewhere")
    assert again.requests[0].gin[0].is_relative_to(tmp_path / "elsewhere")
    found = at_hand.look(again)
    assert not found.without() and not found.remarks
    assert pins.differences(order.pins, pins.of_here(found.plans)) == []


def test_cells_of_absent_data_are_left_to_others(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, sent = made(there)
    (there / "root").rename(there / "unmounted")
    forget_files()
    again = arrived(sent, tmp_path / "elsewhere")
    assert again.requests[0].root is None
    found = at_hand.look(again)
    assert pins.differences(order.pins, pins.of_here(found.plans)) == []  # whole plans, same ids
    assert {cell.leg.source.dataset for cell in found.without()} == {"mine"}
    (left,) = found.computable()
    assert {cell.leg.source.dataset for cell in left.cells} == {"counts"} and left.cells
    assert left.datasets() == ["counts"]
    (remark,) = found.remarks
    assert remark.startswith("no prepared dataset mine under ")
    assert remark.endswith(": 2 cells left to others")


def test_a_machine_finds_the_data_in_a_root_of_its_own(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sent = made(there)
    (there / "root").rename(there / "mounted")
    forget_files()
    monkeypatch.setenv("PROMPTBENCH_DATA", str(there / "mounted"))
    assert not at_hand.look(arrived(sent, tmp_path / "elsewhere")).without()


def test_another_dataset_of_the_same_name_is_none(there: Path, tmp_path: Path) -> None:
    _, sent = made(there)
    index = there / "root" / "mine" / "index.json"
    plain = json.loads(index.read_text())
    plain["resize_short"] = 8
    index.write_text(json.dumps(plain))
    forget_files()
    found = at_hand.look(arrived(sent, tmp_path / "elsewhere"))
    assert len(found.without()) == 2
    assert "mine is another one than at the submission" in found.remarks[0]


@pytest.mark.parametrize("given", ["folder", "file", "card"])
def test_class_texts_travel_with_an_order(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """Those of an option as well as those that a user's own card names."""
    (folder := there / "texts").mkdir()
    for name in ("mine", "counts"):
        own = {each: [f"a text of {each}."] for each in cards.class_names(name)}
        (folder / f"{name}.json").write_text(json.dumps(own))
    options: dict[str, Any] = {"class_texts": str(folder)}
    if given == "file":
        options = {"class_texts": {"mine": folder / "mine.json"}}
    elif given == "card":
        card = cards.path_of("mine")
        (folder / "mine.json").rename(card.with_name("own_texts.json"))
        card.write_text('class_texts = "own_texts.json"\n' + card.read_text())
        options = {}
    grid, rest = Grid(("hicropl",), ("few_shot",)), {"suite": "demo", "data": there / "root"}
    options |= {"datasets": ["mine", "counts"], "shots": 2, "seeds": 1, "out": there / "runs"}
    requests, machine = edge.asked(grid, {**options, **rest})
    plans, compute = plans_of(requests, machine)
    order = orders.make(plans, machine, compute.precision)
    sent = sending.packed(order, plans)
    (there / "texts").rename(there / "gone")
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(tmp_path / "elsewhere" / "cards"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    cards._below.cache_clear()
    again = arrived(sent, tmp_path / "elsewhere")
    found = at_hand.look(again)
    assert pins.differences(again.pins, pins.of_here(found.plans)) == []
    first, second = ([c.id for made in p for c in made.cells] for p in (plans, found.plans))
    assert first == second
    files = {t.file for p in found.plans for c in p.cells for t in c.class_texts.values()}
    assert len(files) == 2


def forget_files() -> None:
    """As on another machine, where no plugin file is known."""
    for kind in FROM_FILES:
        kind._files.clear()
