"""Values of several metrics: a file of predictions is read once, and each metric has its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from promptbench import records as store
from promptbench.core.metric import Answers
from promptbench.errors import UserError
from promptbench.records import Record, scores, values
from promptbench.records.predictions import Table, encoded
from promptbench.running.predicting import probabilities
from tests.made_records import record

CLASSES, LEARNED = 6, [0, 1, 2]
BASE, NEW = "dtd/base-of-all", "dtd/new-of-all"


def target(folder: Path, kind: str, labels: list[int]) -> dict[str, Any]:
    """A target of base-to-new over the names of both, with its predictions in `folder`."""
    rng = np.random.default_rng(labels)
    logits = torch.tensor(rng.normal(size=(len(labels), CLASSES)), dtype=torch.float32)
    flags = torch.tensor([label in LEARNED for label in range(CLASSES)])
    kept = probabilities.of_logits(logits, torch.tensor(labels), flags).numpy().astype(np.float64)
    columns = dict(zip(probabilities.NAMES + probabilities.OPEN, kept, strict=True))
    columns |= {name: columns[name].astype(np.int64) for name in ("predicted", "rank")}
    table = Table([f"{kind}{i}" for i in range(len(labels))], columns | {"label": np.array(labels)})
    data, found = encoded(table), table.answers(CLASSES)
    (folder / f"{kind}.csv.gz").write_bytes(data)
    return {
        "dataset": "dtd",
        "classes": kind,
        "names": "all",
        "split": "test",
        "shift": "none" if kind == "base" else "classes",
        "correct": found.right.tolist(),
        "total": found.total.tolist(),
        "learned": LEARNED,
        "confusions": table.confusions(CLASSES),
        "predictions": f"{kind}.csv.gz",
        "predictions_sha256": hashlib.sha256(data).hexdigest(),
        "seconds": 1.0,
    }


@pytest.fixture
def made(tmp_path: Path) -> Record:
    facts = record().model_dump(mode="json") | {"schema_version": store.SCHEMA}
    facts["source"] |= {"dataset": "dtd", "classes": "base"}
    facts["targets"] = [
        target(tmp_path, "base", [0, 1, 2] * 5),
        target(tmp_path, "new", [3, 4, 5] * 4),
    ]
    return Record.model_validate(facts)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets whose predictions were read, one by one."""
    found: list[str] = []
    real: Callable[..., Answers] = values.read_answers

    def reading(own: store.TargetResult, folder: Path) -> Answers:
        found.append(own.key)
        return real(own, folder)

    monkeypatch.setattr(values, "read_answers", reading)
    return found


def test_all_metrics_read_a_file_once(made: Record, read: list[str], tmp_path: Path) -> None:
    places = scores.folders_of([(made, tmp_path)])
    together = scores.together(scores.registered(), places)
    found = {scorer.metric.name: scorer.score(made) for scorer in together}
    for scorer in together:
        scorer.remarks([made])
    assert sorted(read) == [BASE, NEW]
    apart = {s.name: scores.Scorer(s, places).score(made) for s in scores.registered()}
    assert found == apart
    assert len(found["ece"].values) == 2 and len(found["auroc_base_new"].values) == 1


def test_what_needs_counts_only_reads_nothing(made: Record, read: list[str]) -> None:
    for scorer in scores.together(scores.load_all(["accuracy", "mean_class_accuracy"]), {}):
        assert len(scorer.score(made).values) == 2
    assert read == []


def test_a_metric_that_fails_is_told_of_by_itself_only(
    made: Record, read: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = scores.load_all(["ece", "nll"])

    def fails(_: Any, answers: Answers) -> float:
        raise ZeroDivisionError("nothing to divide by")

    monkeypatch.setattr(type(broken), "value", fails)
    places = scores.folders_of([(made, tmp_path)])
    of_broken, of_sound = scores.together([broken, sound], places)
    assert len(of_sound.score(made).values) == 2
    for _ in range(2):
        with pytest.raises(UserError, match=r"'ece' fails on dtd.base-of-all: .*nothing to divide"):
            of_broken.score(made)
    assert sorted(read) == [BASE, NEW]


def test_a_damaged_file_costs_the_values_that_need_it(made: Record, tmp_path: Path) -> None:
    (tmp_path / "new.csv.gz").write_bytes(b"damaged")
    places = scores.folders_of([(made, tmp_path)])
    of_labels, of_both = scores.together(scores.load_all(["nll", "openworld_auc"]), places)
    for scorer in (of_labels, of_both):
        with pytest.raises(UserError, match=r"new.csv.gz is not the file .* \(sha256 differs\)"):
            scorer.score(made)
    base = made.model_copy(update={"targets": made.targets[:1]})
    assert list(of_labels.score(base).values.values()) == [pytest.approx(1.8, abs=1.0)]


def test_a_file_that_is_missing_is_a_reason_for_what_needs_it(made: Record, tmp_path: Path) -> None:
    (tmp_path / "new.csv.gz").unlink()
    places = scores.folders_of([(made, tmp_path)])
    single, both = scores.together(scores.load_all(["nll", "openworld_auc"]), places)
    assert single.score(made).missing == (NEW,) and len(single.score(made).values) == 1
    assert both.score(made).missing == ("dtd/base+new-of-all",)
