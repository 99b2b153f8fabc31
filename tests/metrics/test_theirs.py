"""Metrics of somebody else, one file each, in tables, CSV, comparison, plots' data and the site:
nothing in the project names them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from promptbench import records as store
from promptbench.core.registry import METRICS, add_file
from promptbench.errors import UserError
from promptbench.leaderboard import terminal
from promptbench.leaderboard.boards import building
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import site
from promptbench.records import RECORD, scores
from promptbench.records.scores import Scorer
from promptbench.report.comparing import comparison, comparison_terminal
from promptbench.report.comparing.sides import select
from promptbench.tracking import wandb_facts
from tests.calling import call
from tests.made_records import record
from tests.metrics.test_contract import THEIRS
from tests.test_registry import distribution

BALANCED, WORST = (path.stem for path in THEIRS)
PLUGINS = [text for path in THEIRS for text in ("--plugin", str(path))]
DATASETS = ("shapes", "shapes_neon", "color_shape")
# Of the 90 images of one class and the 10 of the other, how many are right, by seed. CoOp has the
# higher accuracy and knows nothing of the small class.
RIGHT = {
    "coop": ((80, 0), (81, 0), (85, 0)),
    "zeroshot": ((60, 6), (60, 7), (62, 6)),
}
WORST_BY_HAND = {"coop": 1.0, "zeroshot": (0.4 + 30 / 90 + 0.4) / 3}


def written(
    folder: Path, method: str, seed: int, right: tuple[int, int], dataset: str = "shapes"
) -> None:
    """Write a record of base_to_new with its predictions, in a folder of its own."""
    targets = []
    for half, shift in (("base", "none"), ("new", "classes")):
        rows = [
            (f"{half}{label}{i}", label, label if i < right[label] else 1 - label)
            for label, count in enumerate((90, 10))
            for i in range(count)
        ]
        lines = ["key,label,predicted", *(",".join(map(str, row)) for row in rows)]
        data = gzip.compress("\n".join(lines).encode(), mtime=0)
        file = folder / "predictions" / f"{dataset}-{half}.csv.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        targets.append(
            {
                "dataset": dataset,
                "classes": half,
                "split": "test",
                "shift": shift,
                "correct": list(right),
                "total": [90, 10],
                "predictions": f"predictions/{file.name}",
                "predictions_sha256": hashlib.sha256(data).hexdigest(),
                "seconds": 1.0,
            }
        )
    made = record(
        seed,
        method=method,
        cell_id=hashlib.sha256(f"{method}{dataset}{seed}".encode()).hexdigest(),
        suite="demo",
        comparable=False,
        protocol={"name": "base_to_new", "version": 1, "selection": "last epoch"},
        source={"dataset": dataset, "classes": "base", "shots": 16, "keys": []},
        targets=targets,
    )
    training = made.training.model_copy(update={"parameters_sha256": f"{seed}" * 64})
    made = made.model_copy(update={"training": training})
    store.write(made, folder / RECORD)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("theirs") / "runs"
    for method, counts in RIGHT.items():
        for seed, right in enumerate(counts, 1):
            for dataset in DATASETS:
                folder = base / method / str(seed) / dataset
                written(folder, method, seed, right, dataset)
    return base


@pytest.fixture
def plugged() -> None:
    for path in THEIRS:
        add_file(path)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for path in THEIRS:
        module = f"theirs_{path.stem}"
        distribution(tmp_path, path.stem, module, path.read_text(), "promptbench.metrics")


def cells(text: str) -> dict[tuple[str, str, str], dict[str, str]]:
    """The rows of a CSV by metric, method and column; of the dataset, not of the average."""
    rows = csv.DictReader(io.StringIO(text))
    return {(r["metric"], r["method"], r["column"]): r for r in rows if r["group"] == "shapes"}


def of_method(found: dict[Any, dict[str, str]], metric: str, column: str) -> dict[str, dict]:
    return {key[1]: row for key, row in found.items() if (key[0], key[2]) == (metric, column)}


def test_the_csv_has_each_metric_with_marks_in_its_direction(runs: Path) -> None:
    asked = f"accuracy,{BALANCED},{WORST}"
    result = call("report", runs, *PLUGINS, "--metric", asked, "--format", "csv")
    assert result.exit_code == 0, result.output
    found = cells(result.stdout)
    for metric, best in (("accuracy", "CoOp"), (BALANCED, "CLIP (zero-shot)")):
        by_method = of_method(found, metric, "HM")
        assert {m for m, row in by_method.items() if row["best"] == "True"} == {best}
    worst = of_method(found, WORST, "base")
    assert {m for m, row in worst.items() if row["best"] == "True"} == {"CLIP (zero-shot)"}
    assert {m for m, row in worst.items() if row["second"] == "True"} == {"CoOp"}
    assert {m for m, row in worst.items() if row["separated"] == "True"} == {"CoOp"}
    assert float(worst["CLIP (zero-shot)"]["mean"]) == pytest.approx(WORST_BY_HAND["zeroshot"])
    assert float(worst["CoOp"]["mean"]) == WORST_BY_HAND["coop"]
    assert all(row["mean"] == "" for row in of_method(found, WORST, "HM").values())
    balanced = of_method(found, BALANCED, "base")["CoOp"]
    assert float(balanced["mean"]) == pytest.approx(100 * (80 + 81 + 85) / 90 / 3 / 2)
    assert balanced["images_low"] == "" != found["accuracy", "CoOp", "base"]["images_low"]


@pytest.mark.parametrize("form", ["markdown", "latex", "html", "json"])
def test_every_format_says_what_it_shows(runs: Path, form: str) -> None:
    found = call("report", runs, *PLUGINS, "--metric", WORST, "--format", form)
    assert found.exit_code == 0, found.output
    assert "error of the worst class, lower is better" in found.output
    assert "bold: best (lowest)" in found.output
    assert "no HM: no harmonic mean of error of the worst class is defined" in found.output
    assert "accura" not in found.output


def test_an_interval_ends_at_the_bounds_of_the_metric_with_its_decimals(tmp_path: Path) -> None:
    for seed, right in enumerate(((80, 0), (81, 1), (85, 2)), 1):
        written(tmp_path / str(seed), "coop", seed, right)
    found = call("report", tmp_path, *PLUGINS, "--metric", WORST, "--format", "markdown").stdout
    assert r"0.900 \[0.652, 1.000\]" in found
    assert "which ends where values of error of the worst class end" in found


def test_the_table_of_a_run_shows_accuracy_and_what_was_asked_for(tmp_path: Path) -> None:
    few = ("--datasets", "counts", "--limit", "20", "--out", tmp_path, "--seeds", "1")
    what = ("--method", "zeroshot", "--protocol", "base_to_new")
    result = call("run", *what, *few, *PLUGINS, "--metric", f"{BALANCED},{WORST}")
    assert result.exit_code == 0, result.output
    shown = re.findall(r"16 shots, (.*)", result.stdout)
    assert shown == [
        "accuracy in %",
        "balanced accuracy in %",
        "error of the worst class, lower is better",
    ]
    again = call("run", *what, *few, "--metric", "balanced")
    assert again.exit_code == 2 and "unknown metric 'balanced'" in again.output


def test_the_table_of_a_run_reads_no_other_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be thousands in the same folder."""
    what = ("run", "--method", "zeroshot", "--protocol", "base_to_new", "--datasets", "counts")
    few = ("--limit", "20", "--seeds", "1", "--metric", "ece", "--out", tmp_path)
    assert call(*what, *few).exit_code == 0
    (own,) = store.find([tmp_path])
    written(tmp_path / "other", "coop", 1, (80, 0))
    read: list[Path] = []
    found = store.read
    monkeypatch.setattr(store, "read", lambda path: [read.append(path), found(path)][1])
    again = call(*what, *few)
    assert again.exit_code == 0 and "ECE" in again.stdout
    assert set(read) == {own}


@pytest.mark.usefixtures("installed")
def test_installed_ones_are_found_by_name(runs: Path) -> None:
    assert {BALANCED, WORST} <= set(METRICS.names())
    listed = call("ls", "metrics").output
    assert all(name in listed for name in ("accuracy", BALANCED, WORST, "lower", "predictions"))
    result = call("report", runs, "--metric", WORST, "--format", "csv")
    assert result.exit_code == 0 and (WORST, "CoOp", "base") in cells(result.stdout)
    named = [metric.name for metric in scores.registered()]
    assert named[0] == "accuracy" and named[1:] == sorted({*METRICS.names()} - {"accuracy"})
    path = runs / "coop" / "1" / "shapes" / RECORD
    summary = wandb_facts.summary(store.read(path), path.parent)
    assert summary[f"{WORST}/shapes/new"] == 1.0 and f"score/{WORST}/HM" not in summary
    assert summary[f"score/{BALANCED}/HM"] == pytest.approx(100 * 80 / 90 / 2)
    assert summary["accuracy/shapes/base"] == summary["score/base"] == 80.0


@pytest.fixture
def one_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the protocol and the suite of these records, which is quicker."""
    monkeypatch.setattr(known, "protocol_names", lambda: ("base_to_new",))
    monkeypatch.setattr(known, "suite_names", lambda: ("demo",))


def verdicts(runs: Path) -> list[Verdict]:
    return [Verdict(path, store.read(path), "consistent") for path in store.find([runs])]


def asked(file: Path) -> dict[str, Any]:
    """What a file beside a page hands over."""
    _, _, content = file.read_text(encoding="utf-8").removesuffix(");\n").partition(", ")
    return dict(json.loads(content))


@pytest.mark.usefixtures("installed", "one_board")
def test_the_site_has_tables_of_every_metric_to_choose_from(runs: Path, tmp_path: Path) -> None:
    site.build(verdicts(runs), tmp_path / "site")
    page = (tmp_path / "site" / "protocols" / "base_to_new.html").read_text()
    offered = ["accuracy", BALANCED, "macro_f1", "mean_class_accuracy", WORST]  # others: no values
    assert re.findall(r'<button type="button" data-metric="(\w+)"', page) == offered
    start = r'<section [^>]*data-suite="demo" data-file="([^"]+)" data-metric="(\w+)"'
    files = {metric: file for file, metric in re.findall(start, page)}
    assert list(files) == offered
    loaded = {name: asked(tmp_path / "site" / "protocols" / f"{files[name]}.js") for name in files}
    assert "section" not in loaded["accuracy"]  # it is in the page; others load when asked for
    table = page.partition('<section class="board"')[2]
    sections = {name: loaded[name].get("section", table) for name in offered}
    first = {name: re.findall(r"methods/(\w+)\.html", text)[0] for name, text in sections.items()}
    assert [first[name] for name in ("accuracy", BALANCED, WORST)] == ["coop", *["zeroshot"] * 2]
    own = sections[WORST]
    assert '<table data-better="lower">' in own and ">HM<" not in own
    assert "Error of the worst class: lower is better" in own
    data = loaded[WORST]["data"]
    assert data["metric"]["decimals"] == 3 and not data["metric"]["harmonic"]
    assert data["metric"]["whole"] == 1.0 and data["main"]["label"].endswith("new")
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    front = (tmp_path / "site" / "index.html").read_text()
    assert front.count('id="demo"') == 1 and "worst" not in front


@pytest.mark.usefixtures("one_board")
def test_a_site_without_another_metric_offers_no_choice(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "registered", lambda: [scores.load()])
    site.build(verdicts(runs), tmp_path / "site")
    page = (tmp_path / "site" / "protocols" / "base_to_new.html").read_text()
    assert "data-metric" not in page and '<option value="value">accuracy in %</option>' in page


@pytest.mark.usefixtures("plugged", "one_board")
def test_places_on_the_board_follow_the_direction(runs: Path) -> None:
    metrics = [scores.load(name) for name in ("accuracy", WORST)]
    accuracy, worst = building.boards(verdicts(runs), metrics)
    ranks = {b.metric.name: {r.method: r.rank for r in b.rows} for b in (accuracy, worst)}
    assert ranks["accuracy"] == {"coop": (1, 1), "zeroshot": (2, 2)}
    assert ranks[WORST] == {"zeroshot": (1, 1), "coop": (2, 2)}
    console = Console(width=120, file=io.StringIO())
    terminal.show([worst], "base_to_new", None, console)
    assert "lower is better" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("plugged")
def test_a_comparison_is_in_the_metric(runs: Path) -> None:
    sides = [list(select(name, [runs]).values()) for name in RIGHT]
    metric = scores.load(WORST)
    (found,) = comparison.compare(*sides, scores.folders([runs]), metric)
    assert [d.title for d in found.differences] == [
        "base",
        "new",
    ] * 4  # of three datasets, on average
    first = found.differences[0]
    assert first.difference.mean == pytest.approx(1 - WORST_BY_HAND["zeroshot"])
    assert first.difference.bounds == (-1.0, 1.0)
    assert not isinstance(first.images, str)
    assert first.images[0] < first.difference.mean < first.images[1] <= 1.0
    console = Console(width=120, file=io.StringIO())
    comparison_terminal.show(found, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "+0.622" in shown and "where A - B is negative, A is the better one" in shown
    assert "no HM: no harmonic mean" in shown and "accura" not in shown


def test_missing_predictions_are_said_in_every_format(tmp_path: Path) -> None:
    for seed in (1, 2):
        written(tmp_path / str(seed), "coop", seed, (80 + seed, 5))
    (tmp_path / "2" / "predictions" / "shapes-new.csv.gz").unlink()
    said = (
        "error of the worst class needs predictions, which are not beside 1 target: coop on "
        "shapes/new, seed 2"
    )
    asked = ("report", tmp_path, *PLUGINS, "--metric", WORST, "--format")
    table = call(*asked, "csv")
    assert said in table.stderr and said not in table.stdout
    assert cells(table.stdout)[WORST, "CoOp", "new"]["n"] == "1"
    assert said in call(*asked, "markdown").stdout
    counted = call("report", tmp_path, *PLUGINS, "--metric", BALANCED, "--format", "csv")
    assert "needs predictions" not in counted.stderr


def test_a_metric_that_fails_or_gives_no_number_is_named(runs: Path, tmp_path: Path) -> None:
    for name, body, why in (
        ("breaks", "1 / 0", r"the metric 'breaks' fails on shapes/base: ZeroDivisionError"),
        ("is_nan", "float('nan')", r"'is_nan' is nan on shapes/base; it must be a finite number"),
        ("too_large", "101.0", r"'too_large' is 101.0 on shapes/base; .* within its bounds"),
        ("writes", "answers.right.sort()", "fails on shapes/base: ValueError"),
    ):
        path = tmp_path / f"{name}.py"
        path.write_text(
            "from promptbench.api import Metric\n\n\nclass Theirs(Metric):\n"
            "    title = short = 'theirs'\n    bounds = (0.0, 100.0)\n\n"
            f"    def value(self, answers):\n        return {body}\n"
        )
        add_file(path)
        with pytest.raises(UserError, match=why):
            Scorer(scores.load(name)).score(store.read(runs / "coop" / "1" / "shapes" / RECORD))
        result = call("report", runs, "--metric", name)
        assert result.exit_code == 2 and "Traceback" not in result.output


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("harmonic = True", "better = 'up'", "better is 'up'; it is one of 'higher', 'lower'"),
        ('short = "balanced accuracy"', "short = None", "short is None, not a text"),
        ("bounds = (0.0, 100.0)", "bounds = (1.0, 0.0)", "are not the lower and the higher end"),
        ("def value", "def values_", "cannot be made: TypeError"),
    ],
)
def test_a_metric_that_is_not_well_described_is_refused(
    old: str, new: str, why: str, runs: Path, tmp_path: Path
) -> None:
    path = tmp_path / "odd_metric.py"
    path.write_text(THEIRS[0].read_text().replace(old, new))
    result = call("report", runs, "--plugin", path, "--metric", "odd_metric")
    assert result.exit_code == 2 and why in result.output.replace("\n", " ")
    checked = call("check", path)
    assert checked.exit_code == (2 if "made" in why else 1)
