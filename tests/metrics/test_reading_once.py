"""Values of several metrics: a file of predictions is read once, or not at all if it is known."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
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
from promptbench.storage import remembered
from promptbench.storage.remembered import Remembered, opened
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
        "confusions": table.labels.confusions(CLASSES),
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


# --- values that are remembered -------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Remembered]:
    with opened(tmp_path / "memory") as found:
        yield found


def all_values(made: Record, folder: Path, memory: Remembered | None) -> dict[str, scores.Scored]:
    places = scores.folders_of([(made, folder)])
    together = scores.together(scores.registered(), places, memory)
    return {scorer.metric.name: scorer.score(made) for scorer in together}


def test_known_values_are_the_same_and_read_nothing(
    made: Record, read: list[str], tmp_path: Path, memory: Remembered
) -> None:
    first = all_values(made, tmp_path, memory)
    assert sorted(read) == [BASE, NEW]
    assert all_values(made, tmp_path, memory) == first == all_values(made, tmp_path, None)
    assert sorted(read) == [BASE, BASE, NEW, NEW]  # the last one knows nothing


def test_a_file_that_was_changed_quietly_has_no_known_value(
    made: Record, tmp_path: Path, memory: Remembered
) -> None:
    all_values(made, tmp_path, memory)
    path = tmp_path / "new.csv.gz"
    state, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(UserError, match=r"new.csv.gz is not the file .* \(sha256 differs\)"):
        all_values(made, tmp_path, memory)


def test_what_is_known_of_a_file_is_known_of_the_same_learned_names_only(
    made: Record, tmp_path: Path, memory: Remembered
) -> None:
    all_values(made, tmp_path, memory)
    others = [target.model_copy(update={"learned": None}) for target in made.targets]
    with pytest.raises(UserError, match="the columns are"):  # the file is read, and does not fit
        all_values(made.model_copy(update={"targets": others}), tmp_path, memory)


def test_a_damaged_memory_costs_time_and_no_number(
    made: Record, read: list[str], tmp_path: Path
) -> None:
    with opened(tmp_path / "memory") as memory:
        first = all_values(made, tmp_path, memory)
    (file,) = (tmp_path / "memory").iterdir()
    with sqlite3.connect(file) as store_of_facts:
        assert store_of_facts.execute("UPDATE facts SET value = '[0.0]'").rowcount > 0
    read.clear()
    with opened(tmp_path / "memory") as memory:
        assert all_values(made, tmp_path, memory) == first
    assert sorted(read) == [BASE, NEW]


def test_other_code_computes_values_again(
    made: Record,
    read: list[str],
    tmp_path: Path,
    memory: Remembered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    all_values(made, tmp_path, memory)
    monkeypatch.setattr(remembered, "version_of_code", lambda: "another")
    read.clear()
    all_values(made, tmp_path, memory)
    assert sorted(read) == [BASE, NEW]


def test_values_of_a_plugin_are_never_remembered(
    made: Record,
    tmp_path: Path,
    memory: Remembered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plugin = type("Constant", (type(scores.load("nll")),), {"value": lambda *_: 1.0})()
    plugin.name = "nll"  # whatever it calls itself
    places = scores.folders_of([(made, tmp_path)])
    (first,) = scores.together([plugin], places, memory)
    assert set(first.score(made).values.values()) == {1.0}
    monkeypatch.setattr(type(plugin), "value", lambda *_: 2.0)  # its file was changed
    (second,) = scores.together([plugin], places, memory)
    assert set(second.score(made).values.values()) == {2.0}
    of_own = all_values(made, tmp_path, memory)["nll"]
    assert of_own == scores.Scorer(scores.load("nll"), places).score(made)


def test_a_value_beside_a_metric_that_failed_is_not_remembered(
    made: Record, tmp_path: Path, memory: Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = scores.load_all(["ece", "nll"])
    places = scores.folders_of([(made, tmp_path)])
    with monkeypatch.context() as patch:
        patch.setattr(type(broken), "value", lambda *_: 1 / 0)
        of_broken, of_sound = scores.together([broken, sound], places, memory)
        assert len(of_sound.score(made).values) == 2
        with pytest.raises(UserError, match="'ece' fails"):
            of_broken.score(made)
    again, _ = scores.together([broken, sound], places, memory)
    assert again.score(made) == scores.Scorer(broken, places).score(made)
