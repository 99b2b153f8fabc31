"""Reproducing: the record alone is enough, and every difference is named."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

import promptbench
from promptbench import records, reproduction
from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.planning.machine import Machine
from promptbench.records import Record
from promptbench.reproduction.verdict import compare
from tests.downgrading import of_schema_1, rewritten
from tests.made_records import confuse


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    promptbench.run(
        "alignednorm",
        "generalized_base_to_new",
        datasets=["counts"],
        shots=2,
        seeds=[3],
        preset="unified",
        limit=80,
        set=["Recipe.epochs=2", "AlignedNorm.beta=0.4"],
        baseline=False,
        quiet=True,
        out=out,
    )
    (path,) = records.find([out])
    return path


def again(path: Path) -> reproduction.Reproduction:
    return reproduction.reproduce(path, Machine(quiet=True))


def changed(original: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    facts = json.loads(original.read_text())
    change(facts)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(facts))
    return path


def test_a_record_alone_is_reproduced_bit_by_bit(original: Path, tmp_path: Path) -> None:
    alone = changed(original, tmp_path, lambda facts: None)
    verdict = again(alone)
    assert verdict.outcome == "identical" and not verdict.numbers
    assert {"weights", "data", "configuration", "protocol", "cell id"} <= set(verdict.same)


def test_other_counts_within_the_tolerance(original: Path, tmp_path: Path) -> None:
    def one_less(facts: dict[str, Any]) -> None:
        target = facts["targets"][0]
        label = next(i for i, count in enumerate(target["correct"]) if count)
        target["correct"][label] -= 1
        confuse(target)

    path = changed(original, tmp_path, one_less)
    near = reproduction.reproduce(path, Machine(quiet=True), tolerance=2.0)
    assert near.outcome == "within tolerance"
    far = reproduction.reproduce(path, Machine(quiet=True), tolerance=1.0)
    assert far.outcome == "different" and "counts/base-of-all" in far.numbers[0]


def test_a_record_of_schema_1_is_compared_by_its_labels(original: Path, tmp_path: Path) -> None:
    old = of_schema_1(original, tmp_path / "old")
    assert again(old).outcome == "identical"
    for target in records.read(old).targets:
        (old.parent / target.predictions).unlink()
    bare = again(old)
    assert bare.outcome == "within tolerance"
    assert "predictions not compared: those of the record are not beside it" in bare.numbers[0]


def test_other_confidences_are_named_and_other_counts_refused(
    original: Path, tmp_path: Path
) -> None:
    def less_sure(facts: dict[str, Any], lines: list[list[str]]) -> list[list[str]]:
        line = next(line for line in lines[1:] if line[1] == line[2])
        line[3] = f"{float(line[3]) - 0.001:.4f}"
        return lines

    verdict = again(rewritten(original, tmp_path / "other", less_sure))
    assert verdict.outcome == "within tolerance"
    first = records.read(original).targets[0].key
    assert f"{first}: same labels, but confidence differs on 1 image, by up to 0.0010" in (
        verdict.numbers
    )
    with pytest.raises(UserError, match="do not follow from its predictions"):
        again(rewritten(original, tmp_path / "fewer", lambda _, lines: lines[:-1]))


def test_another_preprocessing_is_named(original: Path, tmp_path: Path) -> None:
    old = records.read(original)
    squashed = old.backbone.model_copy(update={"resize_mode": "squash"})
    before = old.backbone.model_copy(update={"resize_mode": None, "mean": None})
    new, older = (old.model_copy(update={"backbone": b}) for b in (squashed, before))
    assert compare(old, new, 0.5).circumstances == ("resize_mode shortest, now squash",)
    assert "preprocessing" in compare(older, old, 0.5).same  # it was not kept then


def test_other_weights_data_and_code_are_named(original: Path, tmp_path: Path) -> None:
    def elsewhere(facts: dict[str, Any]) -> None:
        facts["backbone"]["sha256"] = "0" * 64
        facts["data"]["counts"]["shards_sha256"] = "1" * 64
        facts["environment"]["packages"]["torch"] = "1.0"

    verdict = again(changed(original, tmp_path, elsewhere))
    text = "; ".join(verdict.circumstances)
    assert verdict.outcome == "identical"  # the numbers are
    assert "weights 000000000000, now" in text and "data of counts 111111111111, now" in text
    assert "torch 1.0, now" in text


def test_a_changed_configuration_is_a_different_cell(original: Path, tmp_path: Path) -> None:
    def more_epochs(facts: dict[str, Any]) -> None:
        facts["config"] = facts["config"].replace("Recipe.epochs = 2", "Recipe.epochs = 3")

    verdict = again(changed(original, tmp_path, more_epochs))
    text = "; ".join(verdict.circumstances)
    assert "epochs 2, now 3" in text and "cell id" in text
    assert any(
        "2 epochs then, 3 now" in line or "losses differ" in line for line in verdict.numbers
    )


def test_a_configuration_that_is_no_setting_is_refused(original: Path, tmp_path: Path) -> None:
    path = changed(original, tmp_path, lambda facts: facts.update(config="import os"))
    with pytest.raises(UserError, match="include and import are not used"):
        again(path)


def test_the_command_says_the_outcome(original: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    found = CliRunner().invoke(main, ["reproduce", str(original), "--out", str(kept)])
    assert found.exit_code == 0, found.output
    assert "identical" in found.output and len(records.find([kept])) == 1

    def all_wrong(facts: dict[str, Any]) -> None:
        for target in facts["targets"]:
            target["correct"] = [0] * len(target["correct"])
            confuse(target)

    path = changed(original, tmp_path, all_wrong)
    worse = CliRunner().invoke(main, ["reproduce", str(path)])
    assert worse.exit_code == 1 and "% then" in worse.output


@pytest.mark.parametrize("tolerance", ["nan", "inf", "-inf", "-0.5"])
def test_a_tolerance_that_tells_nothing_is_refused(original: Path, tolerance: str) -> None:
    found = CliRunner().invoke(main, ["reproduce", str(original), f"--tolerance={tolerance}"])
    assert found.exit_code == 2
    assert f"--tolerance must be points of accuracy from 0 on, not {tolerance}" in " ".join(
        found.stderr.split()
    )


def test_a_folder_of_cells_is_no_cell(original: Path) -> None:
    with pytest.raises(UserError, match=r"not the folder of one cell; .* such as .*record\.json"):
        again(original.parent.parent)


def test_names_in_a_record_do_not_reach_the_terminal_raw() -> None:
    verdict = reproduction.Reproduction("different", 0.5, ("[bold]x[/]",), ("[red]y[/]",), ())
    console = Console(width=100, record=True, file=io.StringIO())
    reproduction.show(verdict, console)
    assert "[bold]x[/]" in console.export_text(clear=False)


def test_a_verdict_breaks_between_words_on_a_terminal() -> None:
    losses = "losses differ from epoch 11 on: total 1.2345678901234567, now 1.2345678901234569"
    weights = "weights 000000000000, now 111111111111; " * 3
    verdict = reproduction.Reproduction(
        "different", 0.5, (losses,), (weights,), ("code", "machine")
    )
    file = io.StringIO()
    reproduction.show(verdict, Console(width=80, force_terminal=True, color_system=None, file=file))
    said = file.getvalue()
    assert all(len(line) <= 80 for line in said.splitlines())
    assert " ".join(losses.split()) in " ".join(said.split())


def test_records_round_trip(original: Path) -> None:
    assert Record.model_validate_json(original.read_text()).targets[1].names == "all"


def test_an_output_that_cannot_be_a_folder_is_refused_before_anything_runs(
    original: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    for out in (taken, taken / "below"):
        result = CliRunner().invoke(main, ["reproduce", str(original.parent), "--out", str(out)])
        assert result.exit_code == 2
        assert isinstance(result.exception, SystemExit)
        assert f"the output folder {out} cannot be written" in result.output
