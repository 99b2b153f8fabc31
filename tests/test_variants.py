"""Variants show what varies and only that: in rows, in notes, in what cells are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptbench.mixing.variants import Setup, common, in_order, marks, varying
from promptbench.planning import labels, plan
from promptbench.planning.cells import Cell
from promptbench.planning.grids import Grid
from promptbench.records import Record
from promptbench.report import assemble
from promptbench.report.comparing import comparison
from promptbench.report.table import Table
from tests.made_records import record

PRESETS = ("paper", "unified")
RECIPE = {"lr": 0.002, "epochs": 50, "crop_scale": [0.08, 1.0]}


def setup(method: str = "coop", *changed: str, **recipe: Any) -> Setup:
    return Setup(method, changed, {"n_ctx": 16}, {**RECIPE, **recipe})


def test_a_variant_equal_to_the_default_keeps_its_value() -> None:
    rows = [
        [setup("coop", "Recipe.epochs = 2", "Recipe.lr = 0.001", epochs=2, lr=0.001)],
        [setup("coop", "Recipe.epochs = 2", epochs=2)],
        [setup("coop", "Recipe.epochs = 2", "Recipe.lr = 0.005", epochs=2, lr=0.005)],
    ]
    assert varying(rows) == {"coop": ["Recipe.lr"]} and common(rows) == ["Recipe.epochs = 2"]
    assert marks(rows, common(rows)) == [["lr = 0.001"], ["lr = 0.002"], ["lr = 0.005"]]
    assert [in_order(row, ["Recipe.lr"])[0][0] for row in rows] == [0.001, 0.002, 0.005]


def test_what_one_method_changes_alone_stays_in_its_row() -> None:
    rows = [[setup("coop", "Recipe.epochs = 2", epochs=2)], [setup("maple")]]
    assert common(rows) == [] and marks(rows) == [["epochs = 2"], []]
    assert marks(rows[:1], common(rows[:1])) == [["epochs = 2"]]  # nothing to have in common


def test_methods_without_a_recipe_do_not_count() -> None:
    zeroshot = [Setup("zeroshot", (), {}, {})]
    rows = [zeroshot, [setup("coop", "Recipe.epochs = 2", epochs=2)]]
    assert common(rows) == []
    rows.append([setup("maple", "Recipe.epochs = 2", epochs=2)])
    assert common(rows) == ["Recipe.epochs = 2"]
    assert marks(rows, common(rows)) == [[], [], []]


def test_settings_of_one_name_keep_their_class() -> None:
    rows = [[setup("coop", "CoOp.lr = 1", "Recipe.lr = 0.1", lr=0.1)], [setup()]]
    assert marks(rows)[0] == ["CoOp.lr = 1", "Recipe.lr = 0.1"]


def test_values_are_compared_by_what_they_are() -> None:
    same = [[setup("coop", "Recipe.crop_scale = (0.08, 1.0)")], [setup()]]
    assert varying(same) == {"coop": []}
    scoped = [[setup(lr=0.1), setup(lr=0.2)], [setup("coop", "Recipe.lr = 0.1", lr=0.1)]]
    assert marks(scoped) == [["lr = by dataset"], ["lr = 0.1"]]


def made(seed: int, *changed: str, **recipe: Any) -> Record:
    training = record().training.model_copy(update={"recipe": RECIPE | recipe})
    found = record(seed, 60 + seed, "coop", suite="demo", comparable=False, overrides=list(changed))
    return found.model_copy(update={"training": training})


def table(*found: Record) -> Table:
    (only,) = assemble.of_records(found)
    return only


def test_rows_of_a_table_show_what_varies_and_its_note_the_rest() -> None:
    found = table(
        record(1, method="zeroshot", suite="demo", comparable=False),
        made(1, "Recipe.epochs = 2", epochs=2),
        made(1, "Recipe.epochs = 2", "Recipe.lr = 0.005", epochs=2, lr=0.005),
        made(1, "Recipe.epochs = 2", "Recipe.lr = 0.0005", epochs=2, lr=0.0005),
    )
    assert [row.title for row in found.rows] == [
        "CLIP (zero-shot)",
        "CoOp (lr = 0.0005)",
        "CoOp (lr = 0.002)",
        "CoOp (lr = 0.005)",
    ]
    assert "in every row that has it: Recipe.epochs = 2" in found.notes


def test_limit_and_preset_stand_once_where_all_rows_have_them() -> None:
    few = {"limit": 50, "preset": "unified", "suite": "demo", "comparable": False}
    found = table(*(record(method=name, **few) for name in ("zeroshot", "coop", "maple")))
    assert [row.title for row in found.rows] == ["CLIP (zero-shot)", "CoOp", "MaPLe"]
    assert "in every row that has it: first 50 images; preset unified" in found.notes
    whole = record(method="coop", suite="demo", comparable=False)
    assert {row.title for row in table(record(method="zeroshot", **few), whole).rows} == {
        "CLIP (zero-shot) (first 50 images)",  # which has no settings of any preset
        "CoOp",
    }


def test_beside_a_methods_published_numbers_its_changes_stay_in_its_rows() -> None:
    pair = [record(method=name, overrides=["Recipe.epochs = 2"]) for name in ("coop", "mmrlpp")]
    found = table(*pair)
    ours = {row.title for row in found.rows if row.kind == "ours" and row.n}
    assert ours == {"CoOp (epochs = 2)", "MMRL++ w/o decoupling (epochs = 2)"}
    assert {row.title for row in found.rows if row.kind == "published"} >= {"CoOp"}


def test_a_comparison_says_once_what_both_sides_have() -> None:
    sides = [[made(1, "Recipe.epochs = 2", *lr)] for lr in ((), ("Recipe.lr = 0.005",))]
    (found,) = comparison.compare(*sides)
    assert (found.a, found.b) == ("CoOp (lr = 0.002)", "CoOp (lr = 0.005)")
    assert found.shared == ("Recipe.epochs = 2",)


def cells(grid: Grid, **options: Any) -> list[Cell]:
    options = {"datasets": "counts", "baseline": False, **options}
    plans = plan.distinct([plan.build(r, "fp32") for r in grid.requests(options)])
    return [cell for made in labels.told_apart(plans) for cell in made.cells]


def test_cells_are_called_by_what_varies() -> None:
    lr = (("Recipe.lr = 0.001",), ("Recipe.lr = 0.003",), ("Recipe.lr = 0.005",))
    grid = Grid(("coop",), ("base_to_new",), variants=lr)
    assert [cell.label for cell in cells(grid, set="Recipe.epochs = 2", seeds=1)] == [
        f"coop (lr = {value}) on counts, 16 shots, seed 1" for value in ("0.001", "0.003", "0.005")
    ]


@pytest.mark.parametrize(
    "grid",
    [
        Grid(("coop", "mmrlpp"), ("base_to_new",), variants=((), ("Recipe.epochs = 2",))),
        Grid(("mmrlpp",), ("base_to_new", "few_shot", "generalized_base_to_new")),
        Grid(("coop",), ("few_shot",), presets=PRESETS, variants=((), ("Recipe.lr=9",))),
        Grid(("coop", "zeroshot"), ("base_to_new", "few_shot"), shots=(1, 2), seeds=(1, 2)),
        Grid(("alignednorm",), ("base_to_new",), variants=((), ("AlignedNorm.beta = 0.25",))),
    ],
)
def test_no_two_cells_of_a_run_are_called_alike(grid: Grid) -> None:
    found = [cell.label for cell in cells(grid)]
    assert len(set(found)) == len(found) > 1


def test_marks_are_no_part_of_what_a_cell_is(tmp_path: Path) -> None:
    lr = ((), ("Recipe.lr = 0.005",))
    marked = cells(Grid(("coop",), ("base_to_new", "few_shot"), variants=lr))
    plain = cells(Grid(("coop",), ("base_to_new",)))
    assert {cell.id for cell in plain} < {cell.id for cell in marked}
    assert all(not cell.marks for cell in plain) and any(cell.marks for cell in marked)
    same = next(cell for cell in marked if cell.id == plain[0].id)
    assert same.folder(tmp_path) == plain[0].folder(tmp_path)
