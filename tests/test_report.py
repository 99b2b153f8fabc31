"""Tables and records: intervals, published rows, formats, validation."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from promptbench import records, render, report
from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.registry import PROTOCOLS
from promptbench.statistics import estimate
from promptbench.verify import recount

TARGETS = (("imagenet", "none"), ("dtd", "dataset"), ("eurosat", "dataset"))


def record(seed: int = 1, correct: int = 60, method: str = "mmrlpp", **changes: Any) -> Record:
    """A record of cross_dataset with 100 images per target."""
    targets = [
        {
            "dataset": name,
            "classes": "all",
            "split": "test",
            "shift": shift,
            "correct": [correct + i, 0],
            "total": [90, 10],
            "predictions": f"predictions/{name}-all.csv.gz",
            "predictions_sha256": "0" * 64,
            "seconds": 1.0,
        }
        for i, (name, shift) in enumerate(TARGETS)
    ]
    titles = {"mmrlpp": ("MMRL++", "decoupled"), "zeroshot": ("CLIP (zero-shot)", "zero-shot")}
    title, paradigm = titles[method]
    facts: dict[str, Any] = {
        "cell_id": "c",
        "training_id": "t",
        "suite": "clip",
        "comparable": True,
        "method": {
            "name": method,
            "title": title,
            "paper": "",
            "paradigm": paradigm,
            "provider": "promptbench",
            "parameters": {},
            "learned_parameters": 0,
        },
        "preset": "paper",
        "overrides": [],
        "inference": "unified",
        "protocol": {"name": "cross_dataset", "version": 1, "selection": "last epoch"},
        "source": {"dataset": "imagenet", "classes": "all", "shots": 16, "keys": []},
        "seed": seed,
        "limit": None,
        "backbone": {
            "name": "ViT-B-16-quickgelu",
            "weights": "openai",
            "sha256": "0" * 64,
            "activation_verified": True,
            "image_size": 224,
        },
        "config": "",
        "config_sha256": "",
        "data": {},
        "training": {
            "recipe": {},
            "epochs": 1,
            "steps": 1,
            "seconds": 1.0,
            "losses": [],
            "parameters_sha256": None,
        },
        "targets": targets,
        "environment": {
            "promptbench": "0",
            "git_revision": None,
            "python": "3",
            "packages": {},
            "platform": "",
            "device": "",
            "precision": "fp32",
            "threads": 1,
            "peak_memory_mb": 1.0,
        },
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Record.model_validate(facts | changes)


def table(found: list[Record]) -> report.Table:
    protocol = PROTOCOLS.load("cross_dataset").cls()
    return report.build(found, protocol, report.legs_of(found))


def test_interval_is_students_t() -> None:
    found = estimate(2.0, [1.0, 2.0, 3.0])
    assert found.half_width == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert estimate(2.0, [2.0]).half_width is None


def test_rows_are_means_over_seeds() -> None:
    rows = table([record(seed, 60 + seed) for seed in (1, 2, 3)]).rows
    ours = rows[-1]
    assert ours.n == 3
    assert ours.cells[0] is not None and ours.cells[0].mean == pytest.approx(62.0)
    average = ours.cells[-1]
    assert average is not None and average.mean == pytest.approx(63.5)
    assert average.half_width == pytest.approx(4.302652729911275 / math.sqrt(3))


def test_published_rows_stand_beside_ours_with_their_source() -> None:
    found = table([record()])
    published = [row for row in found.rows if row.source]
    assert published and all("published" in row.title for row in published)
    assert all(row.n == 0 for row in published)
    assert any(row.cells[0] and row.cells[0].mean == 71.83 for row in published)


def test_suites_that_stand_for_themselves_get_no_published_row() -> None:
    found = table([record(suite="demo", comparable=False)])
    assert not [row for row in found.rows if row.source]


def test_a_target_missing_in_one_seed_leaves_the_average_out() -> None:
    whole, part = record(1), record(2)
    part = part.model_copy(update={"targets": part.targets[:2]})
    assert table([whole, part]).rows[-1].cells[-1] is None


def test_variants_are_marked_and_never_merged() -> None:
    found = table([record(), record(inference="decoupled"), record(preset="unified")])
    titles = [row.title for row in found.rows if not row.source]
    assert len(titles) == 3
    assert any("decoupled inference" in title for title in titles)
    assert any("preset unified" in title for title in titles)


def test_formats_hold_the_same_numbers() -> None:
    found = table([record(1), record(2, 62)])
    lines = list(csv.DictReader(io.StringIO(render.to_csv(found))))
    means = {line["column"]: float(line["mean"]) for line in lines if not line["source"]}
    assert means["imagenet"] == 61
    cells = json.loads(render.to_json(found))["rows"][-1]["cells"]
    assert {c["column"]: c["mean"] for c in cells} == pytest.approx(means)
    assert "| MMRL++ |" in render.to_markdown(found) and "61.00" in render.to_markdown(found)
    assert (
        r"\toprule" in render.to_latex(found) and r"\_" not in render.to_latex(found).split("%")[0]
    )


@pytest.mark.parametrize("width", [60, 200])
def test_terminal_table_fits_its_width(width: int) -> None:
    console = Console(width=width, record=True, file=io.StringIO())
    render.to_rich(table([record(1), record(2), record(3)]), console)
    text = console.export_text()
    assert "imagenet" in text and "60.00" in text
    table_lines = [line for line in text.splitlines() if line.startswith(" ")]
    assert table_lines and max(map(len, table_lines)) <= width


def test_record_round_trip_and_validation(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    records.write(record(), path)
    assert records.read(path) == record()
    broken = json.loads(path.read_text())
    broken["targets"][0]["correct"] = [91, 0]
    path.write_text(json.dumps(broken))
    with pytest.raises(UserError, match=r"targets\.0.*do not fit"):
        records.read(path)
    path.write_text("{")
    with pytest.raises(UserError, match="not a valid record"):
        records.read(path)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError):
        Record.model_validate(record().model_dump() | {"accuracy": 99.0})


def test_recount_refuses_missing_predictions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing"):
        recount(record(), tmp_path)


def test_groups_keep_incomparable_records_apart() -> None:
    other = record().model_copy(
        update={"backbone": record().backbone.model_copy(update={"sha256": "1" * 64})}
    )
    assert len(report.groups([record(), other])) == 2
    newer = record(created="2026-02-01T00:00:00+00:00")
    assert report.latest([newer, record()]) == [newer]


def test_schema_file_is_the_models() -> None:
    path = Path(__file__).parent.parent / "leaderboard" / "record.schema.json"
    assert json.loads(path.read_text()) == records.schema()
