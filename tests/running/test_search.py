"""How workers find cells: in an order of their own, asking little, and out of each other's way."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptbench import records
from promptbench.planning import extent
from promptbench.planning.cells import Cell
from promptbench.running import failures, here, search
from promptbench.running.executor import Limit
from promptbench.running.search import Search
from promptbench.storage import leases
from promptbench.storage.leases import files, protocol
from promptbench.tracking import Listener
from tests.faults import driver
from tests.faults.driver import TINY
from tests.storage.leases.holders import elsewhere


def fake(out: Path, number: int, training: int | None = None) -> Cell:
    """What a worker needs to know of a cell."""
    folder = out / "cells" / str(number)
    training = number if training is None else training
    cell: Any = SimpleNamespace(
        id=f"{number:064d}"[::-1],
        training_id=f"{training:064d}"[::-1],
        label=f"cell {number}",
        folder=lambda _: folder,
        training_folder=lambda _: out / "trainings" / str(training),
        outcome_folder=lambda _: out / "trainings" / str(training),
        is_done=lambda _: (folder / records.RECORD).is_file(),
    )
    return cell  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def all_about_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extent, "passes", lambda cells, card_of: 100)


def finish(cell: Cell, out: Path) -> None:
    cell.folder(out).mkdir(parents=True, exist_ok=True)
    (cell.folder(out) / records.RECORD).touch()


@contextmanager
def another_at_work(out: Path, kind: str = "cell", digest: str = "f" * 64) -> Iterator[Path]:
    path = leases.place(out, kind, digest)
    assert files.create(path, elsewhere())
    yield path
    path.unlink(missing_ok=True)


def test_one_worker_keeps_the_order_and_more_begin_at_places_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [fake(tmp_path, number, number // 3) for number in range(30)]
    assert Search(tmp_path).in_own_order(cells) == cells
    orders = set()
    with another_at_work(tmp_path):
        for number in range(40):
            monkeypatch.setattr(leases, "worker", lambda number=number: f"{number * 7919:x}")
            order = Search(tmp_path).in_own_order(cells)
            assert {cell.id for cell in order} == {cell.id for cell in cells}
            starts = [order[i : i + 3] for i in range(0, 30, 3)]
            assert all(len({cell.training_id for cell in three}) == 1 for three in starts)
            orders.add(order[0].id)
        assert Search(tmp_path).in_own_order([]) == []
    assert len(orders) == 10


def test_long_cells_come_first_where_several_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [fake(tmp_path, number) for number in range(12)]
    length = {cell.id: 10 * 10 ** (number % 3) for number, cell in enumerate(cells)}
    monkeypatch.setattr(extent, "passes", lambda group, card_of: length[group[0].id])
    with another_at_work(tmp_path):
        order = [length[cell.id] for cell in Search(tmp_path).in_own_order(cells)]
    assert order == [1000] * 4 + [100] * 4 + [10] * 4


def test_what_others_hold_is_passed_over_without_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "claimed", lambda _: pytest.fail("it was claimed"))
    held, trains = fake(tmp_path, 1), fake(tmp_path, 2)
    lab: Any = SimpleNamespace(out=tmp_path, listener=Listener())
    with (
        another_at_work(tmp_path, "cell", held.id),
        another_at_work(tmp_path, "training", trains.training_id),
    ):
        looking = Search(tmp_path)
        for cell in (held, trains):
            assert not here._settle(cell, lab, pytest.fail, looking, Limit())


def test_a_training_that_has_just_begun_is_not_waited_for(tmp_path: Path) -> None:
    """A listing may be seconds old, and a training takes minutes: there are other cells."""
    cell = fake(tmp_path, 1)
    looking = Search(tmp_path)
    looking.again()
    lab: Any = SimpleNamespace(out=tmp_path, listener=Listener())
    with another_at_work(tmp_path, "training", cell.training_id):
        assert not looking.is_underway(cell)
        assert not here._settle(cell, lab, pytest.fail, looking, Limit())
    assert leases.holders(tmp_path) == []


def test_a_finished_cell_costs_one_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are hashed where it was finished before the search: it may be a damaged one."""
    new, old, failed, free = (fake(tmp_path, number) for number in range(4))
    finish(old, tmp_path)
    os.utime(old.folder(tmp_path) / records.RECORD, (0, 0))
    looking = Search(tmp_path)
    finish(new, tmp_path)
    failures.write(failed, tmp_path, "a reason")
    found = [looking.is_settled(cell) for cell in (new, old, failed, free)]
    assert found == [True, False, True, False]
    monkeypatch.setattr(leases, "claimed", lambda _: pytest.fail("it was claimed"))
    lab: Any = SimpleNamespace(out=tmp_path, listener=Listener())
    assert here._settle(new, lab, pytest.fail, looking, Limit())


def test_who_finds_only_what_others_have_finished_rests_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = Search(tmp_path)
    rests: list[float] = []
    monkeypatch.setattr(time, "sleep", rests.append)
    done, free = fake(tmp_path, 1), fake(tmp_path, 2)
    finish(done, tmp_path)
    for _ in range(search._IN_A_ROW * 3):
        assert looking.is_settled(done)
    assert len(rests) == 3 and sum(rests) == 0  # nobody else is at work
    for number in range(100):
        assert files.create(leases.place(tmp_path, "cell", f"{number:064d}"[::-1]), elsewhere())
    looking.again()
    rests.clear()
    for _ in range(search._IN_A_ROW * 3):
        assert looking.is_settled(done)
    assert len(set(rests)) == 3 and all(0.4 < rest < 0.9 for rest in rests)
    for _ in range(search._IN_A_ROW * 3):
        looking.is_settled(done)
        looking.is_settled(free)
    assert len(rests) == 3


def test_who_waits_looks_more_rarely_the_more_others_there_are(tmp_path: Path) -> None:
    alone = Search(tmp_path)
    assert max(alone.pause() for _ in range(30)) <= 0.5
    for number in range(200):
        assert files.create(leases.place(tmp_path, "cell", f"{number:064d}"[::-1]), elsewhere())
    one_of_many = Search(tmp_path)
    one_of_many.again()
    waits = [one_of_many.pause() for _ in range(30)]
    assert waits[0] < 0.5 and 3 < max(waits) <= 5.0
    one_of_many.had_success()
    assert one_of_many.pause() < 0.5


def test_a_worker_that_loses_its_cell_goes_on_with_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes nothing, neither counts the attempt nor the failure, and looks again later."""
    lost, other = fake(tmp_path, 1), fake(tmp_path, 2)
    order, said = [], []
    path = leases.place(tmp_path, "cell", lost.id)

    class Hears(Listener):
        def message(self, text: str) -> None:
            said.append(text)

    def run(cell: Cell, _: Any) -> None:
        order.append(cell.id)
        if cell is lost:
            path.unlink()
            assert files.create(path, elsewhere())
            raise ZeroDivisionError  # of what another worker has changed under its hands
        finish(lost, tmp_path)  # the other worker has, meanwhile
        path.unlink()
        finish(other, tmp_path)

    monkeypatch.setattr(here, "within_memory", lambda run, cell, lab: run(cell, lab))
    monkeypatch.setattr(here, "is_lost", lambda _: False)
    keeper, compute = SimpleNamespace(renew=lambda: None), SimpleNamespace(device=None)
    lab: Any = SimpleNamespace(out=tmp_path, listener=Hears(), compute=compute, keeper=keeper)
    here.work_through([lost, other], lab, run)  # type: ignore[arg-type]
    assert order == [lost.id, other.id]
    assert said == [
        "cell 1: another worker, node7 pid 41, Slurm job 9_3, has taken it over; this one goes on "
        "with other cells"
    ]
    assert [found.name for found in lost.folder(tmp_path).iterdir()] == [records.RECORD]


SHORT = {
    "seeds": [1],
    "baseline": False,
    "set": [*TINY["set"], "Recipe.epochs=1", "Recipe.batch_size=8"],
}


class Over(Exception):
    """The worker has nothing left but to wait."""


def contents(out: Path) -> dict[Path, bytes]:
    """What a worker has written of its cell; a log may grow, and an attempt ends."""
    files = [path for path in out.rglob("*") if path.is_file() and path.parent.name != ".locks"]
    return {p: p.read_bytes() for p in files if not p.name.startswith(("attempt-", "log."))}


def test_nothing_is_written_after_a_lease_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file comes next: a snapshot, the training, predictions, the record."""
    refuse, checks, lost_at = protocol.refuse_lost, 0, 0
    before: dict[Path, bytes] = {}

    def check(out: Path) -> None:
        nonlocal checks, before
        checks += out.parent == tmp_path  # others are caches
        if checks == lost_at:
            (path,) = out.rglob(".locks/cell-*")
            path.unlink()
            assert files.create(path, elsewhere())
            before = contents(out)
        refuse(out)

    def over(_: float) -> None:
        raise Over

    for module in (leases, protocol):
        monkeypatch.setattr(module, "refuse_lost", check)
    monkeypatch.setattr(here, "time", SimpleNamespace(sleep=over))  # others sleep as ever
    stopped = 0
    for lost_at in range(1, 30):
        checks, out = 0, tmp_path / str(lost_at)
        try:
            driver.run(out, **SHORT)
        except Over:
            stopped += 1
            assert contents(out) == before and not any(p.name == "record.json" for p in before)
        else:
            break
    names = {path.name for path in contents(out)}
    assert {"training.json", "record.json", "SHA256SUMS"} < names
    assert stopped >= 6  # snapshot, training, two predictions, parameters, record
