"""Handing out cells: by trainings, to who can compute them, under claims where they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptbench.planning import edge
from promptbench.planning.cells import Cell
from promptbench.planning.grids import Grid
from promptbench.running import failures
from promptbench.running.session import plans_of
from promptbench.workers.handing_out import claims
from promptbench.workers.handing_out.board import Board


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    """A cell of coop for each of two seeds and two protocols, which share their trainings."""
    grid = Grid(("coop",), ("base_to_new", "generalized_base_to_new"))
    options = {"datasets": "counts", "seeds": [1, 2], "out": tmp_path, "baseline": False}
    requests, machine = edge.asked(grid, options)
    return [cell for made in plans_of(requests, machine)[0] for cell in made.cells]


def test_cells_of_a_training_go_to_one_worker(cells: list[Cell], tmp_path: Path) -> None:
    board = Board(cells, tmp_path)
    first, second = board.next((), True), board.next((), True)
    assert first and second and board.next((), True) is None
    assert [len({cell.training_id for cell in task.cells}) for task in (first, second)] == [1, 1]
    assert sorted(c.id for task in (first, second) for c in task.cells) == sorted(
        cell.id for cell in cells
    )
    board.back(first)
    again = board.next((), True)
    assert again is not None and again.cells == first.cells


def test_a_worker_gets_no_cell_that_its_data_do_not_suffice_for(
    cells: list[Cell], tmp_path: Path
) -> None:
    board = Board(cells, tmp_path)
    task = board.next({cell.id for cell in cells[1:]}, True)
    assert task is not None and task.cells == [cells[0]]
    assert board.next({cell.id for cell in cells}, True) is None


def test_the_driver_claims_for_those_that_cannot(cells: list[Cell], tmp_path: Path) -> None:
    board, others = Board(cells, tmp_path), Board(cells, tmp_path)
    task = board.next((), claims_itself=False)
    assert task is not None and claims.of_others(task.cells, tmp_path)
    for claims_itself in (True, False):  # whoever else hands out, or works, there
        theirs = others.next((), claims_itself)
        assert theirs is not None and theirs.cells != task.cells
        others.back(theirs)
    board.back(task)
    assert not claims.of_others(task.cells, tmp_path)


def test_what_others_end_is_left_no_more(cells: list[Cell], tmp_path: Path) -> None:
    board = Board(cells, tmp_path)
    failures.write(cells[0], tmp_path, "it broke")
    assert board.ended_elsewhere() == [cells[0]] and cells[0].id not in board.left
    assert board.ended_elsewhere() == []


def test_a_second_death_on_a_cell_is_its_failure(cells: list[Cell], tmp_path: Path) -> None:
    board = Board(cells, tmp_path)
    assert not board.died(cells[0], "its process ended")
    assert not board.died(cells[1], "its process ended")
    assert board.died(cells[0], "its process ended")
    assert failures.reason_of(cells[0], tmp_path) == "its process ended, 2 times"
    assert cells[0].id not in board.left and cells[1].id in board.left
