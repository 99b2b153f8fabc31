"""Several records of one cell: equal ones count once, the verified one; others are refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.leaderboard.boards import building
from promptbench.leaderboard.checking.verdicts import judge_all
from tests.calling import call
from tests.short_form import first


def change(path: Path, how: Callable[[dict[str, Any]], Any]) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    how(record)
    path.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")


@pytest.fixture
def other(coop: Path, tmp_path: Path) -> Path:
    """A second run of the trained cell, whose predictions are the same but for their bytes."""
    folder = Path(shutil.copytree(coop.parent, tmp_path / "other"))
    (file,) = (folder / "predictions").iterdir()
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), compresslevel=1, mtime=7))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    change(folder / "record.json", lambda r: r["targets"][0].update(predictions_sha256=digest))
    return folder / "record.json"


@pytest.fixture
def bare(coop: Path, tmp_path: Path) -> Path:
    """The trained cell's record without its predictions, in a folder that is sorted first."""
    folder = tmp_path / "bare"
    folder.mkdir()
    return Path(shutil.copyfile(coop, folder / "record.json"))


@pytest.mark.parametrize("command", ["submit", "build"])
def test_other_numbers_of_a_cell_are_an_error_that_names_both(
    command: str, coop: Path, other: Path, tmp_path: Path
) -> None:
    assert [v.state for v in judge_all([coop, other])] == ["verified", "verified"]
    found = call("leaderboard", command, coop, other, "--out", tmp_path / "out")
    assert found.exit_code == 2 and "different numbers" in found.stderr
    assert str(coop) in found.stderr and str(other) in found.stderr
    assert not (tmp_path / "out").exists()


def test_verify_names_both_records_of_a_cell(coop: Path, other: Path) -> None:
    found = call("leaderboard", "verify", coop, other)
    assert found.exit_code == 2 and "2 verified" in found.stderr
    assert str(coop) in found.stderr and str(other) in found.stderr


def test_a_submission_replaces_no_other_numbers(coop: Path, other: Path, tmp_path: Path) -> None:
    out = tmp_path / "pr"
    assert call("leaderboard", "submit", coop, "--out", out).exit_code == 0
    (there,) = records.find([out])
    before = there.read_bytes()
    found = call("leaderboard", "submit", other, "--out", out)
    assert found.exit_code == 2 and str(there) in found.stderr and str(other) in found.stderr
    assert there.read_bytes() == before
    assert call("leaderboard", "submit", coop, "--out", out).exit_code == 0


def test_the_verified_one_of_equal_records_counts(coop: Path, bare: Path, tmp_path: Path) -> None:
    verdicts = judge_all([bare, coop])
    assert [v.state for v in verdicts] == ["reported", "verified"]
    for given in (verdicts, verdicts[::-1]):
        (kept,) = building.accepted(given, pytest.fail)
        assert kept.path == coop and kept.state == "verified"


def test_equal_records_are_submitted_once(coop: Path, bare: Path, tmp_path: Path) -> None:
    assert call("leaderboard", "submit", bare, coop, "--out", tmp_path / "pr").exit_code == 0
    text = (tmp_path / "pr" / "PULL_REQUEST.md").read_text(encoding="utf-8")
    assert text.count("| coop |") == 1 and "| verified |" in text
    found = call("leaderboard", "verify", tmp_path / "pr")
    assert found.stdout.startswith("verified ") and "1 verified" in found.stderr


@pytest.mark.parametrize("command", first(1, ["verify", "submit", "build"]))
def test_records_are_read_as_utf8_wherever_one_lives(
    command: str, coop: Path, tmp_path: Path
) -> None:
    change(coop, lambda r: r["environment"].update(device="Prozessor für Versuche"))
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    out = () if command == "verify" else ("--out", str(tmp_path / "out"))
    line = [sys.executable, "-m", "promptbench.cli", "leaderboard", command, str(coop), *out]
    found = subprocess.run(line, env=os.environ | ascii_only, capture_output=True, text=True)
    assert found.returncode == 0 and "left out" not in found.stderr, found.stderr
