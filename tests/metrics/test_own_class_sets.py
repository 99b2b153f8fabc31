"""Metrics and protocols of somebody else together, one file each: class sets of the protocol's own
in tables, CSV, comparison, board and W&B, in any metric."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from promptbench import records as store
from promptbench.core.registry import add_file
from promptbench.leaderboard.boards import building
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.records import RECORD, Record, scores
from promptbench.records.verify import read_predictions
from promptbench.report.comparing import comparison
from promptbench.report.comparing.sides import select
from promptbench.tracking import wandb_facts
from tests.calling import call
from tests.metrics.test_contract import THEIRS
from tests.protocols.test_class_sets import PLUGINS

BALANCED, WORST = (path.stem for path in THEIRS)
METRICS = ("accuracy", BALANCED, WORST)
PARTS = ("first", "second", "third")
# Two trainings on the same dataset, scored on the same images, and what follows from both.
BOTH_WAYS = '''"""Learn one half or the other; score all classes after each."""

from promptbench.api import (Column, Leg, Protocol, Source, Target, harmonic_mean, score)


class BothWays(Protocol):
    """Args: datasets: the datasets, two legs each."""

    title = "Both ways"
    version = 1
    split_known = False

    def __init__(self, datasets=("colors",)):
        self.datasets = tuple(datasets)

    def legs(self, shots, only=None):
        halves = [(name, half) for name in only or self.datasets for half in ("base", "new")]
        return [Leg(Source(n, h, shots), (Target(n, "all", "classes"),)) for n, h in halves]

    def columns(self, legs):
        if not legs:
            return []
        name, shots = legs[0].source.dataset, legs[0].source.shots
        each = [Column(name, g.source.classes, score(g.source, g.targets[0]), shots) for g in legs]
        if len(each) == 2:
            each.append(Column(name, "HM", harmonic_mean(*(c.value for c in each)), shots))
        return each
'''


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "both_ways.py"
    path.write_text(BOTH_WAYS)
    return path


@pytest.fixture(scope="module")
def plugins(both_ways: Path) -> list[Any]:
    files = (*THEIRS, PLUGINS / "thirds.py", both_ways)
    return [text for path in files for text in ("--plugin", path)]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, plugins: list[Any]) -> tuple[Path, Result]:
    """A run of CoOp and zero-shot CLIP under both protocols, with all three metrics."""
    out = tmp_path_factory.mktemp("own") / "runs"
    what = ("--method", "coop", "--protocol", "thirds,both_ways", "--datasets", "colors")
    few = (
        "--set",
        "Recipe.epochs=2",
        "--set",
        "Recipe.warmup_epochs=0",
        "--seeds",
        "1",
        "--limit",
        "200",
        "--out",
        out,
    )
    return out, call("run", *what, *few, *plugins, "--metric", f"{BALANCED},{WORST}")


@pytest.fixture
def plugged(both_ways: Path) -> None:
    for path in (*THEIRS, PLUGINS / "thirds.py", both_ways):
        add_file(path)
    known.forget()


def found(out: Path, protocol: str) -> list[tuple[Path, Record]]:
    read = [(path, store.read(path)) for path in store.find([out])]
    return [(path, r) for path, r in read if r.protocol.name == protocol]


def by_hand(path: Path, record: Record, key: str) -> dict[str, float]:
    """The three metrics of a target, from its predictions."""
    (target,) = (t for t in record.targets if t.key == key)
    rows = read_predictions(target, path.parent)
    label = np.array([row.label for row in rows])
    right = label == np.array([row.predicted for row in rows])
    of_class = [right[label == c].mean() for c in np.unique(label)]
    values = (100 * right.mean(), 100 * np.mean(of_class), 1 - min(of_class))
    return dict(zip(METRICS, map(float, values), strict=True))


def rows_of(text: str) -> dict[tuple[str, str, str], dict[str, str]]:
    """The rows of a CSV by metric, method without its settings and column; not of the average."""
    read = csv.DictReader(io.StringIO(text))
    own = [row for row in read if row["group"] == "colors"]
    return {(r["metric"], r["method"].split(" (")[0], r["column"]): r for r in own}


def test_the_run_shows_each_protocol_in_each_metric(ran: tuple[Path, Result]) -> None:
    _, result = ran
    assert result.exit_code == 0, result.output
    shown = re.findall(r"(Thirds|Both ways).*16 shots, (.*)", result.stdout)
    wanted = ["accuracy in %", "balanced accuracy in %", "error of the worst class, lower is bet"]
    for title in ("Thirds", "Both ways"):
        own = [metric for name, metric in shown if name == title]
        assert [m.startswith(w) for m, w in zip(own, wanted, strict=True)] == [True] * 3
    assert all(part in result.stdout for part in PARTS)


def test_the_csv_has_the_class_sets_in_each_metric(
    ran: tuple[Path, Result], plugins: list[Any]
) -> None:
    out, _ = ran
    asked = ("--metric", ",".join(METRICS), "--format", "csv", "--protocol", "thirds")
    result = call("report", out, *plugins, *asked)
    assert result.exit_code == 0, result.output
    rows = rows_of(result.stdout)
    for path, record in found(out, "thirds"):
        title = record.method.title.split(" (")[0]
        for part in PARTS:
            hand = by_hand(path, record, f"colors/{part}")
            for metric in METRICS:
                mean = float(rows[metric, title, part]["mean"])
                assert mean == pytest.approx(hand[metric]), (metric, title, part)
        own = [float(rows[WORST, title, part]["mean"]) for part in PARTS]
        assert float(rows[WORST, title, "mean"]["mean"]) == pytest.approx(sum(own) / 3)


def test_two_trainings_on_one_dataset_keep_their_values(
    ran: tuple[Path, Result], plugins: list[Any]
) -> None:
    """The same images, scored after other classes were learned, are other numbers."""
    out, _ = ran
    asked = ("--metric", ",".join(METRICS), "--format", "csv", "--protocol", "both_ways")
    rows = rows_of(call("report", out, *plugins, *asked).stdout)
    hands = {
        record.source.classes: by_hand(path, record, "colors/all")
        for path, record in found(out, "both_ways")
        if record.method.name == "coop"
    }
    assert hands["base"]["accuracy"] != hands["new"]["accuracy"]
    for half, hand in hands.items():
        for metric in METRICS:
            mean = float(rows[metric, "CoOp", half]["mean"])
            assert mean == pytest.approx(hand[metric]), (metric, half)
    base, new = (hands[half][BALANCED] for half in ("base", "new"))
    assert float(rows[BALANCED, "CoOp", "HM"]["mean"]) == pytest.approx(
        2 * base * new / (base + new)
    )
    assert (WORST, "CoOp", "HM") not in rows
    shown = call("report", out, *plugins, *asked[2:3], "markdown", *asked[4:], "--metric", WORST)
    assert "no HM: no harmonic mean of error of the worst class is defined" in shown.stdout


@pytest.mark.usefixtures("plugged")
def test_a_comparison_is_of_what_was_learned(ran: tuple[Path, Result]) -> None:
    out, _ = ran
    sides = [list(select(name, [out], "both_ways").values()) for name in ("coop", "zeroshot")]
    (table,) = comparison.compare(*sides, scores.folders([out]), scores.load(WORST))
    assert [d.title for d in table.differences] == ["base", "new"]
    hands = {
        (record.method.name, record.source.classes): by_hand(path, record, "colors/all")[WORST]
        for path, record in found(out, "both_ways")
    }
    for each in table.differences:
        wanted = hands["coop", each.title] - hands["zeroshot", each.title]
        assert each.difference.mean == pytest.approx(wanted)
        assert not isinstance(each.images, str)


@pytest.mark.usefixtures("plugged")
def test_the_board_and_the_tracker_have_them(
    ran: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = ran
    monkeypatch.setattr(known, "protocol_names", lambda: ("thirds",))
    monkeypatch.setattr(known, "suite_names", lambda: ("demo",))
    read = found(out, "thirds")
    verdicts = [Verdict(path, record, "consistent") for path, record in read]
    boards = building.boards(verdicts, [scores.load(name) for name in METRICS])
    assert [b.metric.name for b in boards] == list(METRICS)
    assert {c.title for c in boards[-1].columns} >= {*PARTS, "mean"}
    path, record = read[0]
    assert path.name == RECORD
    summary = wandb_facts.summary(record, path.parent)
    hand = by_hand(path, record, "colors/first")
    assert summary[f"{WORST}/colors/first"] == pytest.approx(hand[WORST])
    assert summary[f"score/{BALANCED}/first"] == pytest.approx(hand[BALANCED])
