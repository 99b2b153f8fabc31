"""Weights & Biases: tables of grids and mistakes, inputs and outputs, alerts, read back."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from promptbench import records
from promptbench.core.registry import TRACKERS
from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.report import assemble
from promptbench.tracking import (
    TrackerOptions,
    wandb_grid,
    wandb_lineage,
    wandb_log,
    wandb_mistakes,
)
from promptbench.tracking.wandb_place import Place
from promptbench.tracking.wandb_sync import sync
from tests import made_records
from tests.tracking.recorded import recorded
from tests.tracking.wandb_runs import record_of, run_file, run_of


def everything(out: Path) -> list[Record]:
    return [records.read(path) for path in records.find([out])]


def test_a_grid_has_a_run_with_the_table_of_the_report(logged: Path) -> None:
    found = everything(logged)  # the method and the zero-shot baseline
    run = run_of(logged, wandb_grid.facts(found).id)
    assert run["job_type"] == run["group"] == "summary" and run["exit_code"] == 0
    assert {"demo", "few_shot", "alignednorm", "zeroshot"} <= set(run["tags"])
    assert run["config"]["method"] == ["alignednorm", "zeroshot"] and run["config"]["host"]
    counts = {key: run["summary"][f"cells/{key}"] for key in ("planned", "finished", "failed")}
    assert counts == {"planned": 2, "finished": 2, "failed": 0}
    (table,) = assemble.of_records(found)
    paper = run["tables"]["paper_few_shot"]
    assert paper["columns"] == ["method", "paradigm", "1 shot / counts", "n"]
    assert [(row[0], row[3]) for row in paper["data"]] == [(row.title, 1) for row in table.rows]
    assert all(row[2].endswith("†") for row in paper["data"])  # of one seed
    results = [
        dict(zip(wandb_grid.RESULTS, row, strict=True)) for row in run["tables"]["results"]["data"]
    ]
    (ours,) = [row for row in results if row["method"].startswith("AlignedNorm")]
    (record,) = [each for each in found if each.method.name == "alignednorm"]
    assert ours["mean"] == record.targets[0].accuracy and ours["n"] == 1


def test_numbers_over_seeds_have_their_interval() -> None:
    found = [made_records.record(seed, 60 + seed) for seed in (1, 2, 3)]
    tables = assemble.of_records(found)
    rows = [dict(zip(wandb_grid.RESULTS, row, strict=True)) for row in wandb_grid.results(tables)]
    mean = next(row for row in rows if row["kind"] == "ours" and row["mean"] is not None)
    assert mean["n"] == 3 and mean["half_width"] is not None and mean["low"] <= mean["mean"]


def test_a_grid_that_goes_on_has_the_same_run() -> None:
    first, second = made_records.record(seed=1), made_records.record(seed=2)
    second = second.model_copy(update={"cell_id": "f" * 64})
    planned = {first.cell_id, second.cell_id}
    part = wandb_grid.facts([first], planned)
    assert part.id == wandb_grid.facts([second, first]).id
    assert part.id != wandb_grid.facts([first]).id


def test_mistakes_are_the_surest_with_thumbnails(logged: Path) -> None:
    _, record = record_of(logged)
    table = run_file(logged, record)["tables"]["mistakes"]
    assert table["columns"] == list(wandb_mistakes.COLUMNS)
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    wrong = record.targets[0]
    assert len(rows) == min(wandb_mistakes.ROWS, sum(wrong.total) - sum(wrong.correct)) > 3
    sure = [row["confidence"] for row in rows]
    assert sure == sorted(sure, reverse=True) and 0 < sure[-1] <= sure[0] <= 1
    assert all(row["class"] != row["taken for"] and row["target"] == "counts/all" for row in rows)
    assert all(row["image"]["format"] == "jpg" for row in rows)
    assert len(table["sizes"]) == len({row["image"]["sha256"] for row in rows})
    assert sum(table["sizes"].values()) <= wandb_mistakes.BYTES


def test_a_table_of_mistakes_is_bounded(logged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, record = record_of(logged)
    all_of_them = wandb_mistakes.of_record(record, path.parent, None)
    jpegs = [row.jpeg or b"" for row in all_of_them]
    assert max(Image.open(io.BytesIO(jpeg)).size for jpeg in jpegs) <= (96, 96)
    monkeypatch.setattr(wandb_mistakes, "ROWS", 3)
    monkeypatch.setattr(wandb_mistakes, "BYTES", len(jpegs[0]) + len(jpegs[1]))
    few = wandb_mistakes.of_record(record, path.parent, None)
    assert [row.key for row in few] == [row.key for row in all_of_them[:3]]
    assert [row.jpeg for row in few] == [jpegs[0], jpegs[1], None]
    plain = wandb_mistakes.of_record(record, path.parent, None, images=False)
    assert [row.jpeg for row in plain] == [None] * 3
    assert wandb_mistakes.of_record(record, path.parent / "nowhere", None) == []


def test_inputs_are_references_with_hashes(logged: Path) -> None:
    _, record = record_of(logged)
    run = run_file(logged, record)
    (name,) = [name for name in run["inputs"] if name != "dataset-counts"]
    assert name.startswith("weights-")
    data, weights = run["inputs"]["dataset-counts"], run["inputs"][name]
    info = record.data["counts"]
    assert {part: digest for part, (digest, _) in data.items()} == {
        "card": info.card_sha256,
        "shards": info.shards_sha256,
    }
    assert weights["weights"][0] == record.backbone.sha256
    assert all(ref.startswith("promptbench://") for _, ref in (*data.values(), *weights.values()))


def test_what_differs_in_its_bytes_is_another_input(logged: Path) -> None:
    _, plain = record_of(logged)
    (name, info), *_ = plain.data.items()
    other = info.model_copy(update={"class_texts_sha256": "0" * 64, "class_texts": "x.json"})
    changed = plain.model_copy(update={"data": {name: other}})
    first, second = wandb_lineage.inputs(plain)[0], wandb_lineage.inputs(changed)[0]
    assert first.name == second.name and second.sha256["class_texts"] == "0" * 64
    assert first.sha256 != second.sha256


def test_numbers_only_sends_no_image_and_no_parameters(logged: Path, tmp_path: Path) -> None:
    path, record = record_of(logged)
    sync([path], Place("offline", tmp_path, numbers_only=True), lambda _: None)
    run = run_file(tmp_path, record)
    assert set(dict(run["artifacts"])["cell"]) == {"record.json", "config.gin"}
    mistakes = run["tables"]["mistakes"]
    assert not mistakes["sizes"] and {row[-1] for row in mistakes["data"]} == {None}
    assert run_of(tmp_path, wandb_grid.facts([record]).id)["tables"]["paper_few_shot"]["data"]


@pytest.mark.parametrize(
    "error",
    [OSError("no room"), UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")],
)
def test_what_the_client_cannot_take_is_one_sentence(
    error: Exception, logged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise error

    monkeypatch.setattr(wandb_log, "start", refuses)
    path, _ = record_of(logged)
    with pytest.raises(UserError, match=f"refused {path} .*{type(error).__name__}"):
        sync([path], Place("offline", tmp_path), lambda _: None)


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ("", ("offline", False)),
        ("online", ("online", False)),
        ("online+numbers", ("online", True)),
        ("+numbers", ("offline", True)),
        ("onlin", "unknown mode 'onlin'; did you mean 'online'?"),
        ("online+number", r"unknown 'number' behind online\+; there is online\+numbers"),
        ("offline+", r"unknown '' behind offline\+"),
    ],
)
def test_what_stands_behind_the_name(argument: str, found: Any) -> None:
    if isinstance(found, str):
        with pytest.raises(UserError, match=found):
            Place.of_argument(argument, Path())
    else:
        place = Place.of_argument(argument, Path())
        assert (place.mode, place.numbers_only) == found


@pytest.mark.parametrize("begun", [True, False], ids=["in the middle", "before it began"])
def test_a_cell_that_fails_is_an_alert(begun: bool, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    facts = recorded(tmp_path)
    cell, tracker = facts.cells[0], TRACKERS.load("wandb").cls(tmp_path, TrackerOptions())
    tracker.planned(facts.plans[0])
    if begun:
        tracker.cell_started(cell)
    tracker.cell_failed(cell, "RuntimeError: no " + "x" * 1000, tmp_path / "log")
    run = run_of(tmp_path, cell.id[:24])
    ((title, text, level),) = run["alerts"]
    assert title == f"failed: {cell.label}"[:63] and level == "ERROR"
    assert text.startswith("RuntimeError: no x") and len(text) < 600
    assert run["exit_code"] == 1


def test_a_run_in_which_no_cell_ended_has_no_tables(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    facts = recorded(tmp_path)
    beside = TRACKERS.load("wandb").cls.beside(tmp_path, TrackerOptions())
    beside.planned(facts.plans[0])
    beside.cell_failed(facts.cells[0], "no", tmp_path / "log")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        beside.close()
    assert not (tmp_path / "wandb").exists()
