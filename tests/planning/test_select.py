"""What `--select` asks for: cells, ids, and what is refused before anything is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptbench.core.registry import SELECTIONS
from promptbench.errors import UserError
from promptbench.forecast.shares import shares_of
from promptbench.planning import extent, labels, plan, sources
from promptbench.planning.cells import Cell
from promptbench.planning.grids import Grid
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request

LOWEST = Path(__file__).parents[1] / "selections" / "lowest_loss.py"
ASKED: dict[str, Any] = {"protocol": "base_to_new", "datasets": ["counts"], "seeds": [1]}


def built(*select: str, methods: str = "coop", **options: Any) -> Plan:
    asked = {**ASKED, "methods": methods, **options}
    return plan.build(Request(**asked, select=select or None), "fp32")


def named(made: Plan) -> list[tuple[str, str]]:
    return [(cell.method.name, cell.selection.name) for cell in made.cells]


def test_each_rule_is_a_cell_of_one_training_and_the_usual_one_keeps_its_ids() -> None:
    usual, both = built(), built("last", "validation")
    assert named(both) == [("zeroshot", "last"), ("coop", "last"), ("coop", "validation")]
    assert [cell.id for cell in both.cells[:2]] == [cell.id for cell in usual.cells]
    ended, chosen = both.cells[1:]
    assert ended.training_id == chosen.training_id and ended.id != chosen.id
    assert [rule.name for rule in ended.rules] == ["last", "validation"] == [
        rule.name for rule in chosen.rules
    ]  # fmt: skip
    alone = built("validation").cells[1]
    assert (alone.id, alone.training_id) == (chosen.id, chosen.training_id)
    out = Path("out")
    assert ended.outcome_folder(out) == ended.training_folder(out) == alone.training_folder(out)
    assert alone.outcome_folder(out).parent == alone.training_folder(out)
    assert named(built("validation", "last", "validation")) == [
        ("zeroshot", "last"), ("coop", "validation"), ("coop", "last"),
    ]  # fmt: skip


def test_a_rule_of_others_is_told_apart_by_whose_it_is() -> None:
    name = SELECTIONS.add_file(LOWEST)
    one = built(name).cells[1]
    other = replace(one, selection=replace(one.selection, provider="theirs 2.0"))
    assert one.training_id == other.training_id == built().cells[1].training_id
    assert len({one.id, other.id, built().cells[1].id}) == 3


def test_plans_of_one_training_look_on_together() -> None:
    plans = plan.distinct([built(), built("validation")])
    assert [named(made) for made in plans] == [
        [("zeroshot", "last"), ("coop", "last")], [("coop", "validation")],
    ]  # fmt: skip
    cells = [cell for made in plans for cell in made.cells if cell.learns]
    assert all([rule.name for rule in cell.rules] == ["last", "validation"] for cell in cells)
    apart = plan.distinct([built(), built("validation", set=["Recipe.lr=0.5"])])
    assert [len(cell.rules) for made in apart for cell in made.cells if cell.learns] == [1, 2]


def test_one_training_is_counted_and_its_validation_takes_time(tmp_path: Path) -> None:
    both = replace(built("last", "validation"), out=tmp_path)
    pending = {cell.id for cell in both.cells}
    (_, share) = shares_of([both], pending, set(), {})
    assert (share.cells, share.trainings, share.shared) == (2, 1, 1)
    ended, chosen = both.cells[1:]
    only = replace(built("last"), out=tmp_path).cells[1]
    assert not only.is_validated and extent.validated_images(only) == 0
    images = 4 * 2 * extent.epochs(chosen)
    assert extent.validated_images(ended) == extent.validated_images(chosen) == images
    more = extent.passes([ended, chosen]) - extent.passes([only, only])
    assert more == images


def test_cells_are_called_by_their_rule_where_there_are_several() -> None:
    (told,) = labels.told_apart([built("last", "validation")])
    called = [cell.label for cell in told.cells]
    assert len({*called}) == 3 and "best validation epoch" in called[2]
    assert "epoch" not in called[0]
    (alone,) = labels.told_apart([built()])
    assert not any("epoch" in cell.label for cell in alone.cells)


def test_a_grid_asks_for_rules_and_options_win() -> None:
    grid = Grid(methods=("coop",), protocols=("base_to_new",), select=("last", "validation"))
    (request,) = grid.requests({})
    assert request.select == ("last", "validation")
    (request,) = grid.requests({"select": "last"})
    assert request.select == ("last",)


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("valdation", "unknown selection rule 'valdation'; did you mean 'validation'"),
        ("last,validation,test", "unknown selection rule 'test'"),
        ("mine.py", "name its file with --plugin"),
        ([], "--select names no rule; leave it out"),
        (3, "select must be a name"),
    ],
)
def test_what_is_no_rule_is_refused(select: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Request(**ASKED, methods="coop", select=select)


def sourced(cell: Cell, dataset: str, classes: str = "all") -> Cell:
    source = replace(cell.leg.source, dataset=dataset, classes=classes)
    return replace(cell, leg=replace(cell.leg, source=source))


def test_a_source_without_validation_images_is_refused_by_validation_only() -> None:
    ended, chosen = built("last", "validation").cells[1:]
    sources.check_validation([sourced(ended, "imagenet"), chosen], "clip", None)
    with pytest.raises(UserError) as refused:
        sources.check_validation([chosen, sourced(chosen, "imagenet")], "clip", None)
    text = str(refused.value)
    assert text.startswith(
        "imagenet has no validation images, and the selection rule 'validation' chooses by them; "
        "take --select last, or a dataset that has some (of suite clip: caltech101, dtd, "
    )
    assert "imagenet" not in text.partition("suite clip")[2] and "\n" not in text


def test_checks_of_images_read_the_validation_split_where_it_is_used() -> None:
    cell = sourced(built("validation").cells[1], "dtd")
    assert extent.splits_read([cell])["dtd"] == {"train", "val"}
    assert extent.splits_read([replace(cell, rules=(), selection=cell.rules[0])])["dtd"] == {
        "train"
    }
