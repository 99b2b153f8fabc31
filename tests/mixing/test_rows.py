"""Rows of records that contradict each other: consistent, complete, whatever the order."""

from __future__ import annotations

import itertools
import random
from typing import Any

from promptbench import mixing
from promptbench.mixing import agreements
from promptbench.records import Record
from promptbench.report import assemble
from tests.made_records import record

TARGET = {
    "classes": "base", "split": "test", "shift": "none", "correct": [60, 0], "total": [90, 10],
    "predictions": "predictions/x.csv.gz", "predictions_sha256": "0" * 64, "seconds": 1.0,
}  # fmt: skip


def cell(dataset: str, seed: int, images: str, **changes: Any) -> Record:
    """A cell of base_to_new, whose only dataset has these images."""
    data = {dataset: {"card_version": 1, "card_sha256": "a" * 64, "shards_sha256": images * 64}}
    facts: dict[str, Any] = {
        "cell_id": f"{dataset}{seed}{images}",
        "protocol": {"name": "base_to_new", "version": 1, "selection": "last epoch"},
        "source": {"dataset": dataset, "classes": "base", "shots": 16, "keys": []},
        "targets": [TARGET | {"dataset": dataset}],
        "data": data,
        "created": f"2026-01-0{1 + int(images, 16)}T00:00:00+00:00",
    }
    made = record(seed, 60, "coop", **facts)
    return made.model_copy(update=changes)


def ids(found: dict[Any, list[Record]]) -> set[frozenset[str]]:
    return {frozenset(r.cell_id for r in row) for row in found.values()}


def test_other_images_in_other_legs_are_no_conflict() -> None:
    cells = [cell(d, seed, i) for d, i in (("dtd", "1"), ("eurosat", "2")) for seed in (1, 2)]
    assert len(mixing.rows(cells)) == 1


def test_a_dataset_prepared_again_between_seeds_makes_rows_of_whole_seeds() -> None:
    old = [cell("dtd", 1, "1"), cell("eurosat", 1, "1")]
    new = [cell("dtd", 2, "2"), cell("eurosat", 2, "1")]
    assert ids(mixing.rows([*old, *new])) == {
        frozenset({"dtd11", "eurosat11"}),
        frozenset({"dtd22", "eurosat21"}),
    }


def test_what_was_computed_again_stands_beside_the_old_with_all_that_is_unchanged() -> None:
    kept = [cell("eurosat", seed, "1") for seed in (1, 2)]
    old, new = ([cell("dtd", seed, i) for seed in (1, 2)] for i in ("1", "2"))
    found = mixing.rows([*kept, *old, *new])
    assert ids(found) == {
        frozenset({"eurosat11", "eurosat21", "dtd11", "dtd21"}),
        frozenset({"eurosat11", "eurosat21", "dtd12", "dtd22"}),
    }
    assert len(mixing.latest([*kept, *old, *new])) == 6
    assert mixing.labels(list(found.values())) == [["dtd: images 111111"], ["dtd: images 222222"]]


def test_all_data_prepared_again_makes_two_rows_and_short_labels() -> None:
    names = ("dtd", "eurosat", "food101", "sun397")
    cells = [cell(d, seed, i) for seed in (1, 2) for i in ("1", "2") for d in names]
    found = mixing.rows(cells)
    assert len(found) == 2 and {len(row) for row in found.values()} == {8}
    one, other = mixing.labels(list(found.values()))
    assert one != other and all(text.endswith(" of 4 datasets") for (text,) in (one, other))


def test_rows_never_contradict_themselves_hold_every_record_and_ignore_the_order() -> None:
    draw = random.Random(0)
    for _ in range(60):
        cells = {
            made.cell_id: made
            for made in (
                cell(draw.choice(["dtd", "eurosat", "food101"]), draw.randint(1, 3), i)
                for i in draw.choices("123", k=8)
            )
        }
        given = list(cells.values())
        found = mixing.rows(given)
        for row in found.values():
            told: dict[Any, str] = {}
            assert all(told.setdefault(k, v) == v for r in row for k, v in agreements(r).items())
        assert {r.cell_id for row in found.values() for r in row} == set(cells)
        draw.shuffle(given)
        again = mixing.rows(given)
        assert ids(again) == ids(found) and set(again) == set(found)
        shown = mixing.labels(list(found.values()))
        assert all(a != b for a, b in itertools.combinations(shown, 2))


def test_a_newer_record_of_a_cell_replaces_one_of_the_same_data_only() -> None:
    old = cell("dtd", 1, "1")
    again = old.model_copy(update={"created": "2026-02-01T00:00:00+00:00", "cell_id": "again"})
    other = cell("dtd", 1, "2", created="2026-03-01T00:00:00+00:00")
    assert mixing.latest([old, again]) == [again]
    assert mixing.latest([old, other]) == [old, other]


def test_methods_on_other_images_are_told_apart_in_one_table() -> None:
    zeroshot = record(1, method="zeroshot").method
    rows = [cell("dtd", 1, "1"), cell("dtd", 1, "2", method=zeroshot)]
    (table,) = assemble.of_records(rows)
    titles = {row.title for row in table.rows if row.kind == "ours" and row.n}
    assert titles == {"CoOp (dtd: images 111111)", "CLIP (zero-shot) (dtd: images 222222)"}


def test_a_card_stands_for_its_images_where_they_tell_no_more_apart() -> None:
    def prepared(seed: int, images: str, card: str) -> Record:
        made = cell("dtd", seed, images)
        info = made.data["dtd"].model_copy(update={"card_sha256": card * 64})
        return made.model_copy(update={"data": {"dtd": info}})

    cards = [prepared(1, "1", "c"), prepared(2, "2", "d")]
    found = mixing.labels(list(mixing.rows(cards).values()))
    assert found == [["dtd: card cccccc"], ["dtd: card dddddd"]]
    images = [*cards, prepared(3, "3", "d")]
    found = mixing.labels(list(mixing.rows(images).values()))
    assert found[1:] == [
        ["dtd: card dddddd, images 222222"],
        ["dtd: card dddddd, images 333333"],
    ]


def test_stored_sizes_stand_in_the_title_and_their_hashes_do_not() -> None:
    small = cell("dtd", 1, "2")
    info = small.data["dtd"].model_copy(update={"resize_short": 256})
    small = small.model_copy(update={"data": {"dtd": info}})
    (table,) = assemble.of_records([cell("dtd", 1, "1"), small])
    titles = {row.title for row in table.rows if row.kind == "ours" and row.n}
    assert titles == {"CoOp", "CoOp (images stored at 256 pixels)"}


def test_rows_of_a_grid_keep_what_tells_them_apart() -> None:
    cells = [cell("dtd", seed, i) for seed, i in ((1, "1"), (2, "2"))]
    (table,) = assemble.of_records(cells, titles={("coop", ()): "ours"})
    titles = {row.title for row in table.rows if row.kind == "ours" and row.n}
    assert titles == {"ours (dtd: images 111111)", "ours (dtd: images 222222)"}


def test_marks_name_data_sets_where_a_seed_has_several_values() -> None:
    here = cell("dtd", 1, "1").environment
    there = here.model_copy(update={"device": "H100"})
    row = [cell("dtd", 1, "1"), cell("eurosat", 1, "1", environment=there), cell("dtd", 2, "1")]
    row[0] = row[0].model_copy(update={"environment": here.model_copy(update={"device": "A100"})})
    row[2] = row[2].model_copy(update={"environment": there})
    assert mixing.marks(row) == [
        "device A100 (seed 1 on dtd), H100 (seed 1 on eurosat; seed 2 on dtd)"
    ]


def trained(preset: str, training: str, dataset: str = "dtd", seed: int = 1) -> Record:
    """A cell whose preset led to a training, computed later than that of the papers' preset."""
    day = 1 if preset == "paper" else 2
    changes = {"preset": preset, "training_id": training, "cell_id": f"{preset} {dataset}{seed}"}
    created = f"2026-01-0{day}T00:00:00+00:00"
    return cell(dataset, seed, "1", created=created, **changes)


def rows_of(cells: list[Record]) -> list[tuple[str, set[str]]]:
    found = mixing.rows(mixing.latest(cells))
    return [(variant.preset, {r.cell_id for r in own}) for variant, own in found.items()]


def test_presets_that_led_to_the_same_trainings_are_one_row() -> None:
    cells = [trained("paper", "a"), trained("unified", "a")]
    assert rows_of(cells) == rows_of(cells[::-1]) == [("paper", {"paper dtd1", "unified dtd1"})]
    assert len(rows_of([trained("paper", "a"), trained("unified", "b")])) == 2


def test_presets_are_one_only_where_that_is_known_of_every_source() -> None:
    """Elsewhere the papers' setting of a dataset may differ from the one for all."""
    paper = [trained("paper", "a"), trained("paper", "b", "eurosat")]
    assert len(rows_of([*paper, trained("unified", "a")])) == 2
    assert len(rows_of([*paper, trained("unified", "a"), trained("unified", "c", "eurosat")])) == 2
    same = [trained("unified", "a"), trained("unified", "b", "eurosat")]
    assert len(rows_of([*paper, *same])) == 1
    other_seed = [trained("paper", "s2", seed=2)]  # of one preset only: the settings are the same
    assert len(rows_of([*paper, *same, *other_seed])) == 1
    assert len(rows_of([trained("paper", "a"), trained("unified", "a", seed=2)])) == 2


def test_what_learns_nothing_has_one_row_whatever_the_preset() -> None:
    zeroshot = record(1, 60, "zeroshot")
    unified = zeroshot.model_copy(update={"preset": "unified", "cell_id": "u"})
    for cells in ([zeroshot, unified], [unified, zeroshot], [unified]):
        assert [preset for preset, _ in rows_of(cells)] == ["paper"]
    template = zeroshot.method.model_copy(update={"parameters": {"template": "a {}"}})
    other = unified.model_copy(update={"method": template})
    assert len(rows_of([zeroshot, other])) == 2
