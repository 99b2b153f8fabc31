"""`promptbench validate` of several records: each has its line, and a bad one stops nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from promptbench import records
from promptbench.cli import main, streams
from promptbench.support.progress import Reporter, Task


def validate(*places: Path) -> Result:
    return CliRunner().invoke(main, ["validate", *map(str, places)])


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    (path.parent / "SHA256SUMS").unlink()


def copies(path: Path, *names: str) -> list[Path]:
    own = [path.parents[1] / name for name in names]
    return [Path(shutil.copytree(path.parent, folder)) / records.RECORD for folder in own]


def test_records_after_a_bad_one_are_checked_too(runs: Path, coop: Path) -> None:
    other, without = copies(coop, "a", "b")
    changed(other, lambda r: r.update({"\x1b[2J": 1}))
    shutil.rmtree(without.parent / "predictions")
    (without.parent / "SHA256SUMS").unlink()
    found, paths = validate(runs), records.find([runs])
    assert found.exit_code == 1
    lines = found.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "invalid" if path in (other, without) else "valid" for path in paths
    ]
    (of_other,) = [line for line in lines if str(other) in line]
    assert of_other.startswith(f"invalid  {other} is not a valid") and "\x1b" not in of_other
    (of_without,) = [line for line in lines if str(without) in line]
    assert of_without.startswith(f"invalid  {without}: ") and "are missing" in of_without
    assert found.stderr == f"{len(paths)} records: {len(paths) - 2} valid, 2 invalid\n"


def test_the_only_record_is_an_error(coop: Path) -> None:
    assert validate(coop).stderr == ""
    changed(coop, lambda r: r.update(schema_version="99"))
    found = validate(coop)
    assert found.exit_code == 2 and not found.stdout and found.stderr.startswith("error: ")


def test_a_note_on_several_records_is_one_line(coop: Path) -> None:
    for path in (coop, *copies(coop, "a")):
        changed(path, lambda r: r["method"].update(name="theirs", provider="file 0123"))
    found = validate(coop.parents[1])
    assert found.exit_code == 0 and found.stdout.count("valid  ") == 2
    notes = [line for line in found.stderr.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1 and notes[0].startswith("note: 2 records: settings and ids not checked")
    assert validate(coop).stderr.startswith("note: settings and ids not checked: theirs comes")


def test_progress_is_told(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    class Bar(Reporter, Task):
        @contextmanager
        def task(self, label: str, total: int, unit: str) -> Iterator[Task]:
            told.append((label, total, unit))
            yield self

        def advance(self, count: int = 1, note: str = "") -> None:
            told.append(count)

    monkeypatch.setattr(streams, "progress", Bar)
    assert validate(runs).exit_code == 0
    number = len(records.find([runs]))
    assert told == [("validating", number, "records"), *[1] * number]
