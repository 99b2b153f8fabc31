"""`promptbench.results`: records as a DataFrame, and the notebook that goes on from there."""

from __future__ import annotations

import ast
import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

import promptbench
from promptbench import records
from promptbench.core.selection import name_of
from promptbench.errors import UserError
from promptbench.records import scores
from promptbench.report import frame as frames

pandas = pytest.importorskip("pandas")
DOCS = Path(__file__).parents[2] / "docs"


def code_of(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder in which the notebook has run, and the names that it has left; the value of each
    cell's last line is computed as a notebook would."""
    folder = tmp_path_factory.mktemp("notebook")
    names: dict[str, Any] = {"__name__": "__notebook__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MPLBACKEND", "agg")
        for number, source in enumerate(code_of(DOCS / "results.ipynb")):
            exec(compile(source, f"cell {number}", "exec"), names)
            last = ast.parse(source).body[-1]
            if isinstance(last, ast.Expr):
                assert (
                    eval(compile(ast.Expression(last.value), "last", "eval"), names) is not Ellipsis
                )
    return folder, names


def test_the_notebook_draws_its_figure(shown: tuple[Path, dict[str, Any]]) -> None:
    folder, names = shown
    assert (folder / "base_to_new.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "base_to_new.pdf").read_bytes().startswith(b"%PDF")
    titles = {"CLIP (zero-shot)", "CoOp", "MaPLe"}
    assert set(names["table"].index) == titles
    drawn = {text.get_text() for legend in names["figure"].legends for text in legend.get_texts()}
    assert drawn == titles
    base, new, h = (names["table"].loc["CoOp", (column, "mean")] for column in ("base", "new", "H"))
    assert min(base, new) <= h <= max(base, new)


def test_a_row_per_cell_and_target(shown: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = shown
    frame = promptbench.results(folder / "runs")
    found = [records.read(path) for path in records.find([folder / "runs"])]
    assert len(frame) == sum(len(record.targets) for record in found)
    assert frame.attrs == {frames.ATTRIBUTE: frames.VERSION}
    metrics = [metric.name for metric in scores.registered()]
    assert list(frame.columns) == [*frames.COLUMNS, *metrics]
    by_cell = {record.cell_id: record for record in found}
    for row in frame.to_dict("records"):
        record = by_cell[row["cell_id"]]
        (target,) = (t for t in record.targets if t.key == row["target"])
        assert row["accuracy"] == pytest.approx(target.accuracy)
        assert row["correct"] == sum(target.correct) and row["limit"] == 60
        assert records.read(Path(row["record"])).cell_id == row["cell_id"]
    assert frame["ece"].notna().all() and frame["openworld_auc"].isna().all()
    without = {name for name in frames.COLUMNS if frame[name].isna().all()}
    assert without == {"chosen_epoch", "validation_accuracy"}
    assert set(frame["selection"]) == {"last"}


def test_cells_of_several_selection_rules_are_told_apart(tmp_path: Path) -> None:
    found = promptbench.run(
        "coop",
        "base_to_new",
        datasets="counts",
        seeds=1,
        shots=1,
        limit=10,
        select="last,validation",
        set=["Recipe.epochs=2", "Recipe.warmup_epochs=0"],
        out=tmp_path,
        quiet=True,
    )
    frame = promptbench.results(tmp_path, metrics="accuracy", method="coop")
    by_rule = dict(iter(frame.groupby("selection")))
    assert {rule: len(rows) for rule, rows in by_rule.items()} == {"last": 2, "validation": 2}
    (held,) = (record.validation for record in found if record.validation)
    assert set(by_rule["validation"]["chosen_epoch"]) == {held.epoch}
    assert set(by_rule["validation"]["validation_accuracy"]) == {held.chosen}
    assert by_rule["last"]["chosen_epoch"].isna().all()
    some = promptbench.results(tmp_path, metrics="accuracy", selection="validation")
    assert set(some["selection"]) == {"validation"} and set(some["method"]) == {"coop"}
    with pytest.raises(UserError, match="no record has selection 'valid'; did you mean"):
        promptbench.results(tmp_path, selection="valid")


def test_a_rule_that_is_not_installed_goes_by_what_the_record_calls_it() -> None:
    assert name_of("last epoch") == "last"
    assert name_of("flattest minimum (mine.py)") == "flattest minimum (mine.py)"


def test_filters(shown: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = shown
    runs = folder / "runs"
    some = promptbench.results(
        runs, metrics="accuracy", method="coop", seed=[1, 3], dataset="counts", shots=2
    )
    assert set(some["seed"]) == {1, 3} and set(some["method"]) == {"coop"}
    assert len(some) == 4 and list(some.columns)[-1] == "accuracy"
    for wanted, said in (
        ({"method": "copo"}, "no record has method 'copo'; did you mean 'coop'"),
        ({"seed": 9}, "no record has seed 9; known: 1, 2, 3"),
        ({"method": "zeroshot", "inference": "decoupled"}, "no record has inference 'decoupled'"),
        ({"metrics": "acuracy"}, "unknown metric 'acuracy'; did you mean 'accuracy'"),
        ({"seed": "one"}, "whole number"),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            promptbench.results(runs, **wanted)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="does not exist"):
        promptbench.results(folder / "none")


def test_settings_that_differ_are_columns(
    shown: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    source = next((shown[0] / "runs").glob("**/coop/*seed1*/record.json"))
    for number, (n_ctx, lr) in enumerate(((4, 0.1), (8, 0.1))):
        record = json.loads(source.read_text())
        record["method"]["parameters"]["n_ctx"] = n_ctx
        record["training"]["recipe"]["lr"] = lr
        record["cell_id"] = str(number)
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "record.json").write_text(json.dumps(record))
    frame = promptbench.results(tmp_path, metrics="accuracy")
    assert list(frame.columns)[-1] == "CoOp.n_ctx" and "Recipe.lr" not in frame.columns
    assert sorted(frame.groupby("cell_id")["CoOp.n_ctx"].first()) == [4, 8]
    with pytest.warns(UserWarning, match="left out: "):
        (tmp_path / "1" / "record.json").write_text("{}")
        assert len(promptbench.results(tmp_path, metrics="accuracy")) == len(record["targets"])


def test_a_cell_counts_once_the_newest(shown: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    source = next((shown[0] / "runs").glob("**/coop/*seed1*"))
    for name, created in (("old", "2020-01-01T00:00:00+00:00"), ("new", None)):
        shutil.copytree(source, tmp_path / name)
        (tmp_path / name / "SHA256SUMS").unlink()
        if created:
            record = json.loads((tmp_path / name / "record.json").read_text())
            (tmp_path / name / "record.json").write_text(json.dumps({**record, "created": created}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = promptbench.results([tmp_path], metrics="ece")
    assert set(frame["record"]) == {str(tmp_path / "new" / "record.json")}


def test_a_metric_called_as_a_column_is_refused(shown: tuple[Path, dict[str, Any]]) -> None:
    metric = scores.load()
    metric.name = "seed"
    with pytest.raises(UserError, match="'seed' is called as a column of results"):
        frames._refuse_taken([metric])


def test_the_page_says_what_every_column_holds() -> None:
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) +\|$", text, re.MULTILINE))
    assert rows == frames.COLUMNS
    assert f"version {frames.VERSION}" in text
