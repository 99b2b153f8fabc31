"""Ids are a promise: what is accepted, and what anybody has asked for, keeps its id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from promptbench import records
from promptbench.planning import plan
from promptbench.planning.request import Request
from promptbench.records import Record
from tests.ids.pinning import ASKED, MOVED, TABLE, furnished, planned, table

PINNED: dict[str, dict[str, str]] = json.loads(TABLE.read_text(encoding="utf-8"))
ACCEPTED = records.find([Path(__file__).parents[2] / "leaderboard" / "results"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with furnished(tmp_path_factory.mktemp("ids")) as folder:
        yield folder


@pytest.fixture(autouse=True)
def own_card(no_data_of_the_users: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(Path(__file__).with_name("cards")))


@pytest.mark.parametrize("what", ASKED)
def test_what_is_asked_for_keeps_its_ids(what: str, place: Path) -> None:
    assert what in PINNED, f"{what!r} is not pinned yet; run `python -m tests.ids.pinning`"
    pinned, now = PINNED[what], table(planned(ASKED[what], place))
    moved = {words: (ids, now.get(words)) for words, ids in pinned.items() if now.get(words) != ids}
    assert not moved, f"ids (cell, training) moved, was and is: {moved}\n{MOVED}"
    new = sorted(now.keys() - pinned.keys())
    assert not new, f"not pinned yet: {new}; run `python -m tests.ids.pinning`"


def test_no_entry_is_pinned_that_nothing_asks_for() -> None:
    assert list(PINNED) == list(ASKED)


def asked_again(record: Record, folder: Path) -> Request:
    """The request that makes a record's cell, with the settings that it was computed with."""
    settings = folder / "record.gin"
    settings.write_text(record.config, encoding="utf-8")
    return Request(
        methods=[record.method.name],
        protocol=record.protocol.name,
        suite=record.suite,
        datasets=[record.source.dataset],
        shots=[record.source.shots],
        seeds=[record.seed],
        inference=record.inference,
        limit=record.limit,
        gin=[settings],
        baseline=False,
    )


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.parent.name)
def test_an_accepted_record_keeps_its_ids(path: Path, tmp_path: Path) -> None:
    record = records.read(path)
    made = plan.build(asked_again(record, tmp_path), record.environment.precision, tmp_path)
    found = {(cell.id, cell.training_id) for cell in made.cells}
    assert found == {(record.cell_id, record.training_id)}, f"of {path}: {MOVED}"


def test_the_accepted_records_are_many_enough_to_say_something() -> None:
    assert len(ACCEPTED) >= 50
    kinds = {(r.method.name, r.source.dataset) for r in map(records.read, ACCEPTED)}
    assert len(kinds) >= 15


def test_a_fact_that_moves_in_an_id_is_noticed(place: Path) -> None:
    """What the table guards against: each of these is another cell, or another training."""
    (cell,) = [c for c in planned(ASKED["limit"], place) if c.method.name == "coop"]
    own = table([cell])
    for changed in (
        replace(cell, protocol_version=cell.protocol_version + 1),
        replace(cell, recipe={**cell.recipe, "added": None}),
        replace(cell, parameters={**cell.parameters, "added": None}),
        replace(cell, weights_sha256="0" * 64),
        replace(cell, cards_sha256=dict.fromkeys(cell.cards_sha256, "0" * 64)),
        replace(cell, precision="fp16"),
        replace(cell, limit=None),
        replace(cell, seed=cell.seed + 1),
    ):
        assert set(own.values()) != set(table([changed]).values())
