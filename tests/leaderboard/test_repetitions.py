"""Own runs of accepted cells on another processor: said as what they are, and not counted twice."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.leaderboard.checking import places
from promptbench.leaderboard.checking.repetitions import REASON, repeats
from tests.calling import call
from tests.leaderboard import forging
from tests.leaderboard.forging import Facts, Rows, forge, predict, update

Change = Callable[[Facts, Path], Any]


@pytest.fixture
def accepted(accepted_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board on which two seeds of CoOp's demo row stand, where no dataset is prepared."""
    folder = tmp_path / "accepted"
    for seed in (1, 2):
        (own,) = (accepted_results / "demo/base_to_new/coop").glob(f"shapes-16shot-seed{seed}-*")
        shutil.copytree(own, folder / str(seed))
    monkeypatch.setattr(places, "results", lambda: folder)
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "nothing"))
    return folder


def rounded(by: float) -> Callable[[Rows], Rows]:
    """Losses of mistakes that are larger by so much."""

    def how(rows: Rows) -> Rows:
        return [[*row[:5], f"{float(row[5]) + by:.4f}" if row[5] else "", *row[6:]] for row in rows]

    return how


def losses(factor: float) -> Change:
    def change(facts: Facts, _: Path) -> None:
        for terms in facts["training"]["losses"]:
            terms.update({name: value * factor for name, value in terms.items()})

    return change


def other_mistakes(rows: Rows) -> Rows:
    """Two mistakes of one class are taken for each other's class, as surely as before."""
    wrong = [row for row in rows if row[1] != row[2]]
    one, two = next((a, b) for a in wrong for b in wrong if a[1] == b[1] and a[2] != b[2])
    taken = {one[0]: two[2], two[0]: one[2]}
    return [[*row[:2], taken.get(row[0], row[2]), *row[3:]] for row in rows]


def parameters(digit: int) -> Change:
    return update("training", parameters_sha256=str(digit) * 64)


def test_a_repetition_is_called_one_and_changes_nothing(accepted: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    assert call("leaderboard", "build", "--out", before).exit_code == 0
    for seed in (1, 2):
        original = accepted / str(seed) / records.RECORD
        changes = (predict(rounded(0.0002)), losses(1.0001), parameters(seed))
        forge(original, tmp_path / "runs" / str(seed), *changes)
    found = call("leaderboard", "verify", tmp_path / "runs")
    assert found.exit_code == 1 and found.stdout.count(f"    {REASON}\n") == 2
    assert "different numbers" not in found.output
    built = call("leaderboard", "build", tmp_path / "runs", "--out", after)
    assert f"left out: 2 records ({REASON}); all in " in built.stderr
    files = [file.relative_to(before) for file in before.rglob("*") if file.is_file()]
    assert filecmp.cmpfiles(before, after, files, shallow=False)[1:] == ([], [])


@pytest.mark.parametrize(
    "changes",
    [
        (predict(rounded(0.5)),),
        (predict(forging.one_flipped),),
        (predict(forging.relabelled),),
        (predict(forging.shuffled),),
        (predict(other_mistakes),),
        (losses(1.5),),
        (lambda facts, _: facts["training"]["losses"][0].update(another=1.0),),
        (lambda facts, folder: shutil.rmtree(folder / "predictions"), parameters(1)),
    ],
)
def test_what_differs_in_more_is_not(
    accepted: Path, tmp_path: Path, changes: tuple[Change, ...]
) -> None:
    path = forge(accepted / "1" / records.RECORD, tmp_path / "runs", *changes)
    found = call("leaderboard", "verify", path)
    assert found.exit_code == 1 and REASON not in found.stdout
    assert "have different numbers" in found.stdout, found.output


def test_other_shots_are_another_training(accepted: Path, tmp_path: Path) -> None:
    stands = accepted / "1" / records.RECORD
    own = [forge(stands, tmp_path / "same", parameters(1))]
    own += [forge(stands, tmp_path / "other", lambda f, _: f["source"]["keys"].reverse())]
    entry = (stands, records.read(stands))
    assert [repeats(entry, (path, records.read(path))) for path in own] == [True, False]
