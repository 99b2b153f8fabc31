"""`promptbench analyze` on runs of the demo suite, from records to figures."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save

import promptbench
from promptbench import records
from promptbench.analysis import epochs, results
from promptbench.analysis.field import EPOCH_0, PARTS, beside
from promptbench.analysis.measure import Extent
from promptbench.analysis.rows import Number, average
from promptbench.analysis.runs import open_runs
from promptbench.analysis.study import Study, carry_out
from promptbench.cli import main
from promptbench.core.registry import ANALYSES
from promptbench.errors import UserError
from promptbench.figures import looks
from promptbench.leaderboard.web import analyses as pages
from promptbench.planning.machine import Machine
from promptbench.tracking import Listener
from tests.distributions import distribution

EPOCHS = 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    promptbench.run(
        "coop,maple,mmrlpp,alignednorm",
        "base_to_new",
        datasets=["counts"],
        shots=4,
        set=[f"Recipe.epochs={EPOCHS}"],
        limit=20,
        quiet=True,
        out=out,
    )
    return out


def analyze(*arguments: object) -> Result:
    found = CliRunner().invoke(main, ["analyze", *map(str, arguments)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exc_info
    return found


def study(runs: Path, out: Path, *more: str) -> Path:
    found = analyze("all", runs, "--compare", "--images", 12, *more, "--out", out)
    assert found.exit_code == 0, found.output
    for text in ("norms: does not apply to CLIP (zero-shot)", "AlignedNorm", "block", "wrote"):
        assert text in found.output
    return out / "demo" / "base_to_new" / "compared"


@pytest.fixture(scope="module")
def compared(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study(runs, tmp_path_factory.mktemp("analysis"))


@pytest.fixture(scope="module")
def over_training(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the state after each epoch; in the short form: somebody else's analysis, and
    all figures of numbers that are made up (test_questions.py)."""
    return study(runs, tmp_path_factory.mktemp("analysis"), "--over-training")


def rows(folder: Path, analysis: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / f"{analysis}.json").read_text())["rows"]
    return found


@pytest.mark.parametrize("analysis", ["norms", "attention", "geometry", "field"])
def test_numbers_and_figures_of_every_analysis(compared: Path, analysis: str) -> None:
    found = results.read(compared / f"{analysis}.json")
    assert found.images == 12 and not found.comparable and found.suite == "demo"
    table = list(csv.DictReader((compared / f"{analysis}.csv").read_text().splitlines()))
    assert len(table) == len(found.rows) > 0
    for own, other in zip(table, found.rows, strict=True):
        assert own["quantity"] == other["quantity"]
        value = float(own["value"])
        assert math.isnan(value) if other["value"] is None else value == other["value"]
    names = {f"{analysis}.png", f"{analysis}.svg"}
    assert set(found.figures) == names
    for name in names:
        assert_drawn(compared / name)


@pytest.mark.long
@pytest.mark.parametrize("analysis", ["norms", "field"])
def test_figures_over_training(over_training: Path, analysis: str) -> None:
    found = results.read(over_training / f"{analysis}.json").figures
    own = {f"{analysis}{end}.{kind}" for end in ("", "-over-training") for kind in ("png", "svg")}
    assert set(found) == own
    for name in own:
        assert_drawn(over_training / name)


def assert_drawn(path: Path) -> None:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG") if path.suffix == ".png" else b"<svg" in data


def test_a_method_has_one_colour_in_all_figures(compared: Path) -> None:
    """By its name: whoever is drawn beside it. Those without a field take theirs along."""
    tuned = [looks.colour_of(name).lower() for name in ("maple", "mmrlpp", "alignednorm")]
    others = [looks.colour_of(name).lower() for name in ("zeroshot", "coop")]
    for analysis in ("norms", "field"):
        drawn = (compared / f"{analysis}.svg").read_text()
        assert all(colour in drawn for colour in tuned)
        assert not any(colour in drawn for colour in others)
    attention = (compared / "attention.svg").read_text()
    assert all(colour in attention for colour in (*others, *tuned))


def test_who_is_in_which_analysis(compared: Path) -> None:
    tuned = {"maple", "mmrlpp", "alignednorm"}
    everyone = {"zeroshot", "coop"} | tuned
    for analysis, methods in (
        ("norms", tuned),
        ("attention", everyone),
        ("geometry", everyone),
        ("field", tuned),
    ):
        assert set(results.read(compared / f"{analysis}.json").methods) == methods


def test_decoupled_and_unified_records_of_a_training_count_once(runs: Path) -> None:
    found = open_runs([runs], Machine(), Listener())
    assert sorted(run.record.method.name for run in found) == [
        "alignednorm",
        "coop",
        "maple",
        "mmrlpp",
        "zeroshot",
    ]
    assert all(run.record.inference == "unified" for run in found)


def test_prompts_stand_in_the_blocks_of_their_method(compared: Path) -> None:
    found = rows(compared, "norms")
    for method, expected in (("maple", range(1, 13)), ("alignednorm", range(6, 13))):
        at = {r["block"] for r in found if r.get("method") == method and r["part"] == "output"}
        assert at == set(expected)
    masses = [r for r in rows(compared, "attention") if r["quantity"].startswith("to_")]
    totals: dict[tuple[Any, ...], float] = {}
    for r in masses:
        key = (r.get("method"), r["target"], r["part"], r["block"])
        totals[key] = totals.get(key, 0.0) + r["value"]
    assert all(total == pytest.approx(1, abs=1e-5) for total in totals.values())


def test_coop_leaves_image_features_as_they_are(compared: Path) -> None:
    found = {
        (r["target"], r["part"], r["quantity"]): r["value"]
        for r in rows(compared, "geometry")
        if r.get("method") == "coop"
    }
    for target in ("base", "new"):
        for quantity in ("uniformity", "tolerance"):
            assert found[target, "cls", quantity] == found[target, "zero-shot", quantity]


def test_accuracies_are_those_of_the_record(runs: Path, compared: Path) -> None:
    (path,) = (runs / "demo" / "base_to_new" / "maple").glob("*/record.json")
    record = records.read(path)
    for target, result in zip(("base", "new"), record.targets, strict=True):
        found = [
            r
            for r in rows(compared, "field")
            if r.get("method") == "maple" and r["target"] == target and r["quantity"] == "accuracy"
        ]
        whole, *classes = sorted(found, key=lambda r: "item" in r)
        assert whole["value"] == pytest.approx(result.accuracy)
        assert len(classes) == sum(total > 0 for total in result.total)


@pytest.mark.long
def test_over_training_starts_before_it_and_ends_at_the_record(
    runs: Path, over_training: Path
) -> None:
    at = {r.get("epoch") for r in rows(over_training, "norms")}
    assert at == {None, *range(EPOCHS + 1)}
    (run,) = open_runs([runs / "demo" / "base_to_new" / "alignednorm"], Machine(), Listener())
    states = epochs.over_training(run)
    learned = load_file(run.folder / "learned.safetensors")
    assert list(states) == list(range(EPOCHS + 1))
    assert all(states[EPOCHS][name].equal(value) for name, value in learned.items())
    assert not states[0]["bank"].equal(learned["bank"])
    means = {
        (r.get("epoch"), r["part"]): r["value"]
        for r in rows(over_training, "field")
        if r.get("method") == "alignednorm" and r["quantity"] == "mean_cosine"
    }
    for part in PARTS:
        assert means[None, part] == means[EPOCHS, part] != means[0, part]
        assert means[None, beside(part, EPOCH_0)] == means[0, part]


@pytest.mark.long
def test_one_figure_per_method_without_compare(runs: Path, tmp_path: Path) -> None:
    found = analyze("norms", runs, "--images", 8, "--out", tmp_path, "--wandb", "offline")
    assert found.exit_code == 0, found.output
    folder = tmp_path / "demo" / "base_to_new"
    names = sorted(path.name.split("-")[0] for path in folder.iterdir())
    assert names == ["alignednorm", "maple", "mmrlpp"]
    assert list((tmp_path / "wandb").glob("offline-run-*"))
    (path,) = results.find([tmp_path], "mmrlpp")
    assert path.name == "norms.json" and path.parent.name.startswith("mmrlpp-")


@pytest.mark.long
def test_the_same_runs_give_the_same_bytes(runs: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        folders = [runs / "demo" / "base_to_new" / method for method in ("coop", "alignednorm")]
        analyze("geometry", *folders, "--images", 8, "--out", tmp_path / name)
    one, two = (sorted((tmp_path / name).glob("**/geometry.*")) for name in ("one", "two"))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two] and len(one) == 8


def as_if_learned(folder: Path, data: bytes) -> None:
    """Make bytes those that a record names as its learned parameters."""
    (folder / records.PARAMETERS).write_bytes(data)
    (folder / "SHA256SUMS").unlink()
    facts = json.loads((folder / records.RECORD).read_text())
    facts["training"]["parameters_sha256"] = hashlib.sha256(data).hexdigest()
    (folder / records.RECORD).write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Path.unlink, "needs the learned parameters"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "it is a pipe (FIFO), not a file"),
        (lambda path: path.write_bytes(path.read_bytes() + b" "), "is not what the record"),
        (lambda path: as_if_learned(path.parent, b"x" * 100), "does not hold what MaPLe learns"),
        (
            lambda path: as_if_learned(path.parent, save({"x": torch.zeros(2)})),
            "does not hold what MaPLe learns",
        ),
    ],
    ids=["missing", "fifo", "other", "garbage", "strange"],
)
def test_parameters_that_are_not_the_records_are_refused(
    runs: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    (path,) = (runs / "demo" / "base_to_new" / "maple").glob("*/record.json")
    folder = tmp_path / "maple"
    shutil.copytree(path.parent, folder)
    change(folder / records.PARAMETERS)
    found = analyze("norms", folder, "--out", tmp_path / "out")
    assert found.exit_code == 2 and message in " ".join(found.output.split())


def test_nothing_to_show_is_said(runs: Path, tmp_path: Path) -> None:
    found = analyze("norms", runs / "demo" / "base_to_new" / "coop", "--out", tmp_path / "out")
    assert found.exit_code == 2 and "no visual tokens" in found.output
    found = analyze("all", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert found.exit_code == 2 and "does not exist; `promptbench run` writes" in found.output


DRIFT = Path(__file__).with_name("drift.py").read_text()


def test_an_analysis_of_somebody_else_is_one_file(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed, it is in the lists, in a study with its figures, and on the site."""
    assert len(DRIFT.splitlines()) <= 60
    distribution(tmp_path, "drift", "their_drift", DRIFT, "promptbench.analyses")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        question = "How far tuned features move from the frozen ones"
        assert question in analyze("--help").output
        listed = CliRunner().invoke(main, ["ls", "analyses"])
        assert "drift" in listed.output and "their_drift 1.0" in listed.output
        assert "did you mean 'drift'?" in analyze("drft", runs).output
        folders = [runs / "demo" / "base_to_new" / name for name in ("coop", "maple")]
        options = ("--over-training", "--images", 10, "--compare", "--out", tmp_path / "out")
        found = analyze("drift", *folders, *options)
        assert found.exit_code == 0, found.output
        assert "Drift of image features" in found.output and "1 - cosine" in found.output
        said = " ".join(found.output.split())
        assert "drift: does not apply to CoOp" in said and "(no image features are changed)" in said
    monkeypatch.undo()  # the site is built where the analysis is not installed
    (path,) = results.written(tmp_path / "out")
    names = [f"drift{end}.{kind}" for end in ("", "-over-training") for kind in ("png", "svg")]
    assert results.read(path).figures == names
    with path.with_suffix(".csv").open() as file:
        numbers = list(csv.DictReader(file))
    assert {(r["target"], r["epoch"]) for r in numbers} == {
        (target, epoch)
        for target in ("base", "new")
        for epoch in ("", *map(str, range(EPOCHS + 1)))
    }
    shown = pages.collect([tmp_path / "out"], tmp_path / "site", pytest.fail)
    assert [Path(p).name for p, *_ in shown["maple"][0]["pictures"]] == names[::2]
    assert shown["maple"][0]["title"] == "Drift of image features"


@pytest.mark.parametrize("option", [False, True], ids=["in its place", "as a plugin"])
def test_an_analysis_may_be_a_file_that_is_not_installed(
    runs: Path, tmp_path: Path, option: bool
) -> None:
    """What it raises names it, with file and line; nothing of it is taken for promptbench's."""
    path = tmp_path / "my_drift.py"
    path.write_text(DRIFT.replace("return figure, figures.legend(drawing)\n", "1 / 0\n"))
    folder = runs / "demo" / "base_to_new" / "maple"
    asked = ("my_drift", "--plugin", path) if option else (path,)
    found = analyze(*asked, folder, "--images", 10, "--out", tmp_path / "out")
    assert found.exit_code == 2
    said = " ".join(found.output.split())
    assert "error: the analysis 'my_drift' of file " in said
    assert "failed: ZeroDivisionError: division by zero (my_drift.py, line 37)" in said


def test_an_analysis_that_fails_takes_no_other_along(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "failing.py"
    path.write_text(DRIFT.replace("for target, sweep in", "1 / 0\n        for target, sweep in"))
    extent = Extent(images=10)
    places = [runs / "demo" / "base_to_new" / "maple"]
    study = Study([ANALYSES.add_file(path), "norms"], places, tmp_path / "out", extent=extent)
    with pytest.raises(UserError, match=r"'failing' .* division by zero \(failing.py, line 21\)"):
        carry_out(study, Listener())
    assert [path.name for path in results.written(tmp_path / "out")] == ["norms.json"]


def row(title: str, seed: int, quantity: str, value: float, dataset: str = "x") -> Number:
    part = "" if quantity == "accuracy" else "cls/unit"
    return Number(title, title, dataset, seed, None, "new", part, None, "", quantity, value)


def test_averages_are_over_data_sets_first() -> None:
    one = [row("a", 1, "mean_cosine", v, d) for v, d in ((0.0, "x"), (1.0, "y"))]
    two = [row("a", 2, "mean_cosine", v, d) for v, d in ((0.5, "x"), (1.5, "y"))]
    found = average([*one, *two])
    assert found is not None and found.mean == 0.75 and found.n == 2
    assert average([]) is None


@pytest.mark.long
def test_other_protocols_other_new_classes(tmp_path: Path) -> None:
    """Under cross_dataset the other datasets are new; under few_shot nothing is."""
    small = {"shots": 1, "limit": 8, "set": ["Recipe.epochs=1"], "baseline": False, "quiet": True}
    for protocol in ("cross_dataset", "few_shot"):
        promptbench.run("vpt", protocol, datasets=["counts"], out=tmp_path / "runs", **small)
    out = tmp_path / "out"
    found = analyze("all", tmp_path / "runs", "--compare", "--images", 8, "--out", out)
    assert found.exit_code == 0, found.output
    (across,) = (out / "demo" / "cross_dataset").iterdir()
    assert {r["target"] for r in rows(across, "norms")} == {"base", "counts"}
    assert any(r["quantity"] == "accuracy" for r in rows(across, "field"))
    (within,) = (out / "demo" / "few_shot").iterdir()
    assert within.name == "compared-1shot" and not (within / "field.json").exists()
    assert {r["target"] for r in rows(within, "geometry")} == {"base"}
