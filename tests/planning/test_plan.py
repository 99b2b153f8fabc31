"""Which methods a plan takes, and which rules it scores them by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptbench.core.registry import METHODS
from promptbench.errors import UserError
from promptbench.planning import plan
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request


def planned(methods: list[str], protocol: str, tmp_path: Path, **options: Any) -> Plan:
    return plan.build(Request(methods, protocol, **options), "fp32", tmp_path)


def test_all_takes_every_method_that_fits_and_names_the_others(tmp_path: Path) -> None:
    made = planned(["all"], "base_to_new", tmp_path)
    taken = {cell.method.name for cell in made.cells}
    closed = {n for n in METHODS.names() if not METHODS.load(n).cls.open_vocabulary}
    assert "linear_probe" in closed
    assert taken == set(METHODS.names()) - closed
    assert {reason.partition(" (")[0] for reason in made.left_out} == closed
    assert all("(it scores only classes it was trained on" in why for why in made.left_out)
    few_shot = planned(["all"], "few_shot", tmp_path)
    assert {cell.method.name for cell in few_shot.cells} == set(METHODS.names())


def test_a_closed_method_by_name_is_refused_where_classes_are_unseen(tmp_path: Path) -> None:
    for protocol in ("base_to_new", "cross_dataset", "generalized_base_to_new"):
        with pytest.raises(UserError, match=r"linear_probe cannot run .* trained on; few_shot"):
            planned(["linear_probe"], protocol, tmp_path)


def test_a_closed_method_fits_where_another_datasets_names_were_all_learned(
    tmp_path: Path,
) -> None:
    made = planned(["linear_probe"], "domain_generalization", tmp_path)
    assert {cell.method.name for cell in made.cells} == {"zeroshot", "linear_probe"}


def test_a_missing_package_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METHODS.load("coop").cls, "requires", {"no_such_package": "pip install it"})
    with pytest.raises(UserError, match=r"coop cannot run .* it needs no_such_package"):
        planned(["coop", "maple"], "base_to_new", tmp_path)
    made = planned(["all"], "base_to_new", tmp_path)
    assert any(reason.startswith("coop (it needs no_such_package") for reason in made.left_out)


def test_a_training_that_is_too_short_for_its_stages_is_said_before_anything_runs(
    tmp_path: Path,
) -> None:
    short = {"datasets": "shapes", "shots": "1,16", "seeds": "1,2", "set": ["Recipe.epochs=1"]}
    reason = "a training of 1 steps is too short for 2 stages; raise Recipe.epochs"
    with pytest.raises(UserError, match=f"twosfs cannot run on shapes, 1 shot: {reason}"):
        planned(["twosfs", "coop"], "few_shot", tmp_path, **short)
    made = planned(["all"], "few_shot", tmp_path, **short)
    assert made.left_out == (f"twosfs on shapes, 1 shot ({reason})",)
    shots = {c.leg.source.shots for c in made.cells if c.method.name == "twosfs"}
    assert shots == {16}  # what is long enough is computed


def rules(made: Plan, method: str) -> list[str]:
    return list(dict.fromkeys(c.inference for c in made.cells if c.method.name == method))


@pytest.mark.parametrize("method", ["mmrl", "mmrlpp"])
def test_decoupled_methods_are_scored_by_both_rules_from_one_training(
    method: str, tmp_path: Path
) -> None:
    made = planned([method], "base_to_new", tmp_path)
    assert rules(made, method) == ["decoupled", "unified"]
    cells = [cell for cell in made.cells if cell.method.name == method]
    assert len({cell.training_id for cell in cells}) * 2 == len(cells)
    assert rules(planned([method], "base_to_new", tmp_path, inference="unified"), method) == [
        "unified"
    ]
    # Where no target is shifted, or no split is known, both rules are one.
    assert rules(planned([method], "few_shot", tmp_path), method) == ["unified"]
    assert rules(planned([method], "generalized_base_to_new", tmp_path), method) == ["unified"]


@pytest.mark.parametrize("method", ["alignednorm", "coop", "maple"])
def test_other_methods_have_the_unified_rule_alone(method: str, tmp_path: Path) -> None:
    assert rules(planned([method], "base_to_new", tmp_path), method) == ["unified"]


@pytest.mark.parametrize("protocol", ["base_to_new", "few_shot", "generalized_base_to_new"])
def test_a_data_set_without_training_split_is_no_source(protocol: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^shapes_v2 has no training split .* from: .*counts"):
        planned(["coop"], protocol, tmp_path, datasets=["counts", "shapes_v2"])
    assert not list(tmp_path.iterdir())


def test_a_variant_shows_classes_of_the_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"counts is not a variant of shapes.*shapes_v2"):
        planned(["coop"], "domain_generalization", tmp_path, datasets=["counts"])
    made = planned(["coop"], "domain_generalization", tmp_path, datasets=["shapes_v2"])
    assert made.datasets() == ["shapes", "shapes_v2"]


def test_more_shots_than_any_class_has_images_are_refused(tmp_path: Path) -> None:
    few = {"datasets": ["counts"], "seeds": [1]}
    for protocol in ("base_to_new", "few_shot"):
        with pytest.raises(UserError, match=r"counts has at most 32 .* 33 shots; pass --shots 32"):
            planned(["coop"], protocol, tmp_path, shots=33, **few)
    assert planned(["coop"], "base_to_new", tmp_path, shots=32, **few).cells


@pytest.mark.parametrize(("shots", "said"), [(1, "1 shot,"), (2, "2 shots,")])
def test_cells_are_called_by_their_shots(shots: int, said: str, tmp_path: Path) -> None:
    made = planned(["coop"], "few_shot", tmp_path, shots=shots, datasets=["counts"], seeds=[3])
    assert [cell.label for cell in made.cells] == [
        f"{name} on counts, {said} seed 3" for name in ("zeroshot", "coop")
    ]


def test_a_protocol_is_set_as_a_method_is(cache: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.gin"
    mine.write_text("demo/CrossDataset.source = 'digits'\n")

    def source(**options: Any) -> str:
        made = plan.build(Request(["coop"], "cross_dataset", shots=1, **options), "fp32")
        (leg,) = made.legs
        return leg.source.dataset

    assert source() == "shapes"
    assert source(set=["CrossDataset.source='colors'"]) == "colors"
    assert source(gin=[mine]) == "digits"
    assert source(gin=[mine], set=["CrossDataset.source='colors'"]) == "colors"
