"""Finished cells of other code: the user of a plan hears of them, once, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptbench import records
from promptbench.planning import plan
from promptbench.planning.cells import Cell
from promptbench.planning.notes import notes_of
from promptbench.planning.plan import Plan, parted
from promptbench.planning.provenance import notes_of_code
from promptbench.planning.request import Request

By = Callable[[Cell], str | None]


@pytest.fixture(name="made", scope="module")
def planned() -> Plan:
    options: dict[str, Any] = {"datasets": ["counts"], "seeds": [1, 2], "baseline": False}
    return plan.build(Request(["coop", "maple"], "base_to_new", **options), "fp32")


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> Callable[[Plan, By], None]:
    """Let all cells of a plan be done, each by some code."""

    def finish(made: Plan, by: By) -> None:
        names = {cell.folder(made.out) / records.RECORD: by(cell) for cell in made.cells}
        monkeypatch.setattr(Cell, "is_done", lambda *_: True)
        monkeypatch.setattr(
            records,
            "read",
            lambda path: SimpleNamespace(method=SimpleNamespace(source_sha256=names[path])),
        )

    return finish


def own(cell: Cell) -> str | None:
    return cell.method.source_sha256


def test_cells_of_this_code_are_worth_no_word(made: Plan, finished: Any) -> None:
    finished(made, own)
    assert notes_of([made], [], parted([made])[0]) == []


def test_cells_of_other_code_are_counted_by_method_with_what_to_do(
    made: Plan, finished: Any
) -> None:
    finished(made, lambda cell: own(cell) if cell.method.name == "maple" else "0" * 64)
    (note,) = notes_of([made], [], parted([made])[0])
    first = next(cell for cell in made.cells if cell.method.name == "coop").folder(Path("runs"))
    assert note.startswith("note: 2 finished cells were made by other code than that of now (coop:")
    assert "(coop: 2)" in note and note.endswith(
        f"take another --out, or delete their folders (the first is {first})"
    )


def test_unknown_code_is_worth_a_word_only_where_tables_mix_it(made: Plan, finished: Any) -> None:
    finished(made, lambda _: None)
    assert notes_of_code(parted([made])[0], []) == []
    (note,) = notes_of_code(parted([made])[0], made.cells[:1])
    assert note.startswith("note: 2 finished cells (coop: 2) from before records named the code")
    finished(made, lambda cell: own(cell) if cell.seed == 1 else None)
    (note,) = notes_of_code(parted([made])[0], [])
    assert note.startswith("note: 2 finished cells (coop: 1, maple: 1) from before")
