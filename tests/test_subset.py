"""Few-shot keys in a file beside their record: written, read, checked, and taken along."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import pytest

import promptbench
from promptbench import records
from promptbench.errors import UserError
from promptbench.records import Record, subset
from promptbench.storage import integrity
from tests.calling import call
from tests.made_records import record


def large(n: int = subset.MOST_INSIDE + 1) -> Record:
    made = record()
    keys = [f"cat/{number:05d}" for number in range(n)]
    return made.model_copy(update={"source": made.source.model_copy(update={"keys": keys})})


def test_many_keys_stand_in_a_file_and_few_in_the_record(tmp_path: Path) -> None:
    for n in (subset.MOST_INSIDE, subset.MOST_INSIDE + 1):
        made, folder = large(n), tmp_path / str(n)
        folder.mkdir()
        records.finish(made, folder)
        assert records.read(folder / records.RECORD) == made
        held = json.loads((folder / records.RECORD).read_text())["source"]
        assert held["keys"] == ([] if n > subset.MOST_INSIDE else made.source.keys)
        assert (subset.FILE in integrity.listed(folder)) is (n > subset.MOST_INSIDE)
    lines = gzip.decompress((folder / subset.FILE).read_bytes())
    assert lines.decode().split("\n") == made.source.keys
    assert held["keys_sha256"] == hashlib.sha256(lines).hexdigest()
    (again := tmp_path / "again").mkdir()
    records.finish(records.read(folder / records.RECORD), again)
    for name in (records.RECORD, subset.FILE, integrity.SUMS):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_keys_that_hold_a_line_end_stay_inside(tmp_path: Path) -> None:
    made = large()
    made.source.keys[7] = "a\nb"
    records.write(made, tmp_path / records.RECORD)
    assert not (tmp_path / subset.FILE).exists()
    assert records.read(tmp_path / records.RECORD) == made


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        (None, "No such file"),
        (b"a\nb", "does not hold few-shot keys"),
        (gzip.compress(b"a\nb"), "does not hold the few-shot keys of the record beside it"),
        (gzip.compress(b"a\nb")[:-9], "does not hold few-shot keys"),
        (gzip.compress(bytes(2**26 + 1)), "does not hold the few-shot keys"),
    ],
    ids=["missing", "no gzip", "others", "cut", "bomb"],
)
def test_keys_that_are_not_the_records(spoiled: bytes | None, message: str, tmp_path: Path) -> None:
    records.write(large(), tmp_path / records.RECORD)
    (tmp_path / subset.FILE).unlink()
    if spoiled is not None:
        (tmp_path / subset.FILE).write_bytes(spoiled)
    for read in (records.read, records.parse):
        with pytest.raises(UserError, match=message):
            read(tmp_path / records.RECORD)
    assert call("validate", tmp_path).exit_code == 2


def test_keys_are_in_one_place(tmp_path: Path) -> None:
    path = tmp_path / records.RECORD
    records.write(large(), path)
    path.write_text(path.read_text().replace('"keys": []', '"keys": ["a"]'))
    with pytest.raises(UserError, match="not in both"):
        records.read(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells of the demo whose records have their keys beside them."""
    out = tmp_path_factory.mktemp("apart") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subset, "MOST_INSIDE", 5)
        promptbench.run(
            *("coop", "few_shot"),
            datasets="fills",
            shots=1,
            seeds=[1, 2],
            set=["Recipe.epochs=1"],
            baseline=False,
            quiet=True,
            out=out,
        )
    return out


def test_commands_take_the_file_along(runs: Path, tmp_path: Path) -> None:
    """Verified, submitted, pushed to a folder; and refused where it was left behind."""
    first, second = (path.parent for path in records.find([runs]))
    assert (first / subset.FILE).is_file()
    assert len(records.read(first / records.RECORD).source.keys) > 5
    for command in (["validate"], ["leaderboard", "verify"]):
        assert call(*command, runs).exit_code == 0
    assert call("leaderboard", "submit", runs, "--out", tmp_path / "pr").exit_code == 0
    assert call("leaderboard", "verify", tmp_path / "pr").exit_code == 0
    assert call("push", first, f"folder:{tmp_path / 'pushed'}").exit_code == 0
    assert records.read(tmp_path / "pushed" / records.RECORD).source.keys
    lost = shutil.copytree(second, tmp_path / "lost")
    (lost / subset.FILE).unlink()
    found = call("leaderboard", "verify", lost)
    assert found.exit_code == 1 and subset.FILE in found.output


def test_a_cell_without_its_keys_is_not_done(runs: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(records.find([runs])[0].parent, tmp_path / "cell")
    assert records.damage(folder) is None
    (folder / subset.FILE).unlink()
    assert subset.FILE in str(records.damage(folder))
