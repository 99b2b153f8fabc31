"""Rows side by side, computed by the page's scripts: the numbers of `promptbench compare` for the
same count of shots, with the same family of tests."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench import records as store
from promptbench.cli import main
from promptbench.leaderboard.boards import building
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import pages
from promptbench.records import RECORD, Record
from promptbench.report.comparing import comparison
from tests.leaderboard.browsing import NEEDED
from tests.made_records import record

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
DATASETS = ("fills", "color_shape")
VALIDATED = "best validation epoch"


def cell(method: str, dataset: str, shots: int, seed: int, **changes: Any) -> Record:
    """A cell of few_shot; the better a method, the surer over seeds."""
    suite = known.suite("demo")
    better = {"coop": 0, "maple": 9, "kgcoop": -4}[method]
    place = DATASETS.index(dataset)
    right = 50 + shots + better + ((place + 2) * seed * (3 + better)) % 7 + seed
    target = {
        "dataset": dataset, "classes": "all", "split": "test", "shift": "none",
        "correct": [right, 3], "total": [90, 10], "predictions": "predictions/x.csv.gz",
        "predictions_sha256": "0" * 64, "seconds": 1.0,
    }  # fmt: skip
    facts: dict[str, Any] = {
        "cell_id": f"{method}{dataset}{shots}{seed}{changes}",
        "suite": "demo",
        "comparable": False,
        "protocol": {"name": "few_shot", "version": 1, "selection": "last epoch"},
        "source": {"dataset": dataset, "classes": "all", "shots": shots, "keys": []},
        "targets": [target],
    }
    made = record(seed, 60, method, **facts | changes)
    named = {"name": suite.backbone, "weights": suite.weights}
    backbone = made.backbone.model_copy(update=named)
    training = made.training.model_copy(update={"parameters_sha256": f"{seed}" * 64})
    return made.model_copy(update={"backbone": backbone, "training": training})


def cells(method: str, **changes: Any) -> list[Record]:
    return [
        cell(method, dataset, shots, seed, **changes)
        for dataset in DATASETS
        for shots in (4, 16)
        for seed in (1, 2, 3)
    ]


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    rule = {"protocol": {"name": "few_shot", "version": 1, "selection": VALIDATED}}
    made = [*cells("coop"), *cells("maple"), *cells("coop", **rule)]
    made += cells("kgcoop", overrides=["Recipe.lr=0.1"])
    accepted = [Verdict(Path(f"{i}/record.json"), r, "consistent") for i, r in enumerate(made)]
    (found,) = [
        each
        for each in building.boards(accepted)
        if (each.protocol, each.suite.name) == ("few_shot", "demo")
    ]
    made_page = pages.board_page(found)
    return {"b": {"data": made_page["data"], "hasScores": True}, "b-scores": made_page["scores"]}


@pytest.fixture
def page(browser: Any, data: dict[str, Any]) -> Any:
    """The panel's scripts on a page with nothing but a board's data."""
    made = browser.new_page()
    made.set_content("<section id=board><section class=compare></section><table></table></section>")
    made.add_script_tag(content="const markSign = () => {};")
    for name in ("board-files", "board-data", "statistics", "pairs", "compare"):
        asset = resources.files("promptbench.leaderboard.web") / "assets" / f"{name}.js"
        made.add_script_tag(content=asset.read_text(encoding="utf-8"))
    for name, content in data.items():  # as the files beside a page do
        made.add_script_tag(content=f"boardFiles.put({json.dumps(name)}, {json.dumps(content)});")
    yield made
    made.close()


COMPARED = """async ([one, other]) => {
  const data = boardData("b", await boardFiles.get("b"));
  await data.withScores();
  const found = ([method, shots, rule]) =>
    data.rows.find((r) => r.method === method && r.shots === shots && (r.selection ?? "") === rule);
  const [a, b] = [found(one), found(other)];
  const { why, entries } = pairs.compare(data, a, b);
  const panel = sideBySide(document.getElementById("board"), data, () => {});
  panel.choose([a.id, b.id]);
  const text = document.querySelector("section.compare").innerText;
  return [why, entries.map((e) => ({ ...e, label: data.columns[e.column].label })), text];
}"""


@NEEDED
@pytest.mark.parametrize("shots", [4, 16])
def test_the_family_is_that_of_compare_at_the_same_count_of_shots(page: Any, shots: int) -> None:
    sides = [[r for r in cells(method) if r.source.shots == shots] for method in ("maple", "coop")]
    (right,) = comparison.compare(*sides)
    why, entries, text = page.evaluate(COMPARED, [["maple", shots, ""], ["coop", shots, ""]])
    by_label = {entry["label"]: entry for entry in entries}
    assert why == "" and len(entries) == len(right.differences) == len(DATASETS) + 1
    tests = [d for d in right.differences if d.holm is not None]
    assert len(tests) > 2 and any(d.holm != d.over_seeds.p for d in tests)
    for d in right.differences:
        entry = by_label[d.title]
        assert entry["difference"] == pytest.approx(d.difference.mean, abs=1e-7)
        assert entry["p"] == (None if d.over_seeds.p is None else pytest.approx(d.over_seeds.p))
        assert entry["holm"] == (None if d.holm is None else pytest.approx(d.holm))
        if d.across is not None:
            assert entry["across"]["p"] == pytest.approx(d.across.p)
            assert entry["acrossHolm"] == pytest.approx(d.across_holm)
    assert f"adjusted for the {len(tests)} columns of these two rows at {shots} shots" in text
    assert (
        f"promptbench compare maple coop --protocol few_shot --suite demo --shots {shots}" in text
    )
    (whole,) = comparison.compare(cells("maple"), cells("coop"))
    assert len(whole.differences) == 2 * len(right.differences)  # all that is printed is a family


@NEEDED
def test_rows_with_changed_settings_have_no_name_in_the_command(page: Any) -> None:
    """`promptbench compare kgcoop` stands for the row without changed settings."""
    text = page.evaluate(COMPARED, [["maple", 16, ""], ["kgcoop", 16, ""]])[2]
    assert "promptbench compare A B, of two folders" in text and "compare maple" not in text


@NEEDED
def test_rows_that_share_no_ranking_are_said_to(page: Any) -> None:
    text = page.evaluate(COMPARED, [["maple", 16, ""], ["coop", 16, "validation"]])[2]
    assert "They share no ranking." in text and f"epoch by {VALIDATED}" in text
    assert "promptbench compare maple coop:validation --protocol few_shot" in text
    text = page.evaluate(COMPARED, [["maple", 16, ""], ["coop", 16, ""]])[2]
    assert "share no ranking" not in text
    assert page.evaluate(COMPARED, [["maple", 4, ""], ["coop", 16, ""]])[0].startswith(
        "other count"
    )


def test_the_command_takes_counts_of_shots(tmp_path: Path) -> None:
    for method in ("maple", "coop"):
        for made in cells(method):
            place = f"{made.source.dataset}{made.source.shots}{made.seed}"
            (folder := tmp_path / method / place).mkdir(parents=True)
            store.write(made, folder / RECORD)
    sides = [str(tmp_path / method) for method in ("maple", "coop")]
    shown = CliRunner().invoke(main, ["compare", *sides])
    one = CliRunner().invoke(main, ["compare", *sides, "--shots", "16"])
    assert (shown.exit_code, one.exit_code) == (0, 0), one.output
    assert "4 shots" in shown.output and "4 shots" not in one.output.replace("16 shots", "")
    none = CliRunner().invoke(main, ["compare", *sides, "--shots", "2"])
    assert none.exit_code == 2 and "no records of" in none.output
