"""Records are found below folders in one order, whatever else lies there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptbench.records import RECORD, find, predictions, tuning


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    trials = f"a/{tuning.FOLDER}/x"
    for folder in ("a/b", "a-b/c", trials, "dangling", "named", "linked", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("", "a/b", "a-b/c", trials, "linked", ".hidden"):
        (tmp_path / folder / RECORD).touch()
    (tmp_path / "named" / RECORD).mkdir()
    os.mkfifo(tmp_path / "a" / RECORD)
    (tmp_path / "dangling" / RECORD).symlink_to("nowhere")
    (tmp_path / "a" / "loop").symlink_to(".")
    (tmp_path / "dangling" / "other").symlink_to("../linked")
    (tmp_path / "top").symlink_to("linked")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_below_a_folder_but_trials(place: Path) -> None:
    below = [".hidden", "a/b", "a", "a-b/c", "linked", "named", ""]
    assert find([place]) == [place / folder / RECORD for folder in below]
    assert find([Path()]) == [Path(folder, RECORD) for folder in below]
    with_trials = find([Path()], trials=True)
    assert set(with_trials) - set(find([Path()])) == {Path(f"a/{tuning.FOLDER}/x", RECORD)}


def test_nothing_is_looked_for_among_the_predictions_of_a_record(place: Path) -> None:
    for folder in ("a/b", "own"):
        (place / folder / predictions.FOLDER).mkdir(parents=True)
        (place / folder / predictions.FOLDER / RECORD).touch()
    found = find([place / "a" / "b", place / "own"])
    assert found == [place / "a" / "b" / RECORD, place / "own" / predictions.FOLDER / RECORD]


def test_places_that_are_named_are_looked_at_whatever_they_are(place: Path) -> None:
    assert find([Path("top")]) == [Path("top", RECORD)]  # a link
    assert find([Path(f"a/{tuning.FOLDER}/x")]) == [Path(f"a/{tuning.FOLDER}/x", RECORD)]
    twice = [Path("a/b", RECORD), Path("a/b"), Path("missing")]
    assert find(twice) == [Path("a/b", RECORD)]
