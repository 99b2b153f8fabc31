"""Predictions that are found damaged only when a table needs them: one record is left out."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import promptbench
from promptbench.cli import main
from promptbench.records import RECORD
from tests.report.mistaken import answers, target_of, written


def report(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def damage(folder: Path, change: bytes | None = None) -> Path:
    """Write a record of a file whose first confidence is not a number, or of these bytes."""
    target = target_of(folder, answers(3, 36, 2))
    path = folder / str(target["predictions"])
    head, first, *rest = gzip.decompress(path.read_bytes()).decode().split("\n")
    fields = first.split(",")
    fields[3] = "nan"
    data = gzip.compress("\n".join([head, ",".join(fields), *rest]).encode())
    path.write_bytes(data if change is None else change)
    target["predictions_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    written(folder, [target], 3)
    return folder / RECORD


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in (1, 2):
        folder = tmp_path / "runs" / str(seed)
        written(folder, [target_of(folder, answers(seed, 36, 2))], seed)
    return tmp_path / "runs"


@pytest.mark.parametrize(
    "asked",
    [
        ["--metric", "ece", "--format", "csv"],
        ["--metric", "all", "--format", "csv"],
        ["--metric", "ece", "--per-seed", "--format", "csv"],
        ["--metric", "accuracy,ece", "--efficiency", "--format", "csv"],
        ["--errors", "--format", "json"],
    ],
)
def test_the_tables_are_those_of_the_other_records(runs: Path, asked: list[str]) -> None:
    without = report(runs, *asked)
    assert without.exit_code == 0 and without.stdout
    path = damage(runs / "3")
    found = report(runs, *asked)
    assert found.exit_code == 1 and found.stdout == without.stdout
    said = " ".join(found.stderr.split())
    assert f"left out: {path}: " in said and "the tables are without 1 record" in said
    assert "is not a table of predictions: line 2: confidence is 'nan', not a number" in said


def test_what_needs_no_probabilities_keeps_the_record(runs: Path) -> None:
    damage(runs / "3")
    assert report(runs, "--per-seed", "--format", "csv").exit_code == 0


def test_without_any_other_record_it_is_an_error(tmp_path: Path) -> None:
    damage(tmp_path)
    for asked in (["--metric", "ece"], ["--errors"]):
        found = report(tmp_path, *asked)
        assert found.exit_code == 2 and not found.stdout and "line 2" in found.stderr


def test_a_frame_is_without_it_too(runs: Path) -> None:
    pytest.importorskip("pandas")
    path = damage(runs / "3")
    with pytest.warns(
        UserWarning, match=f"left out: {path}: .*line 2: confidence is 'nan'"
    ) as said:
        frame = promptbench.results(runs, metrics="ece")
    assert set(frame["seed"]) == {1, 2}
    assert {warning.filename for warning in said} == {__file__}
    assert set(promptbench.results(runs, metrics="accuracy")["seed"]) == {1, 2, 3}


def test_a_file_that_is_not_gzipped_is_called_so(runs: Path) -> None:
    damage(runs / "3", b"key,label")
    said = " ".join(report(runs).stderr.split())
    assert "cannot be unpacked: Not a gzipped file (b'ke')" in said


def test_a_metric_that_fails_is_not_the_records_fault(runs: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "failing.py"
    plugin.write_text(
        "from promptbench.core.metric import Metric\n\n\n"
        "class Failing(Metric):\n"
        "    title = 'Failing'\n    short = 'failing'\n    needs = 'probabilities'\n"
        "    def value(self, answers):\n        return 1 / (len(answers.label) - 108)\n"
    )
    written(runs / "3", [target_of(runs / "3", answers(3, 36, 3))], 3)
    found = report(runs, "--plugin", plugin, "--metric", "failing")
    assert found.exit_code == 2 and "the metric 'failing' fails on" in found.stderr
