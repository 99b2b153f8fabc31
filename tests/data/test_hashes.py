"""Shards are read under their hash, and hashes are remembered while files stay as they are."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from promptbench.data.cards import checking
from promptbench.data.cards.cards import CardSource
from promptbench.data.shards import hashes, shards, writing
from promptbench.data.shards.shards import Item, ShardSet
from promptbench.errors import RunError
from promptbench.tracking import Listener
from tests.data import toy

SHARD = "test-000000.tar"


@pytest.fixture(name="data")
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardSet:
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 20)
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))
    return toy.write(tmp_path / "toy")


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take time stamps of this moment for old ones."""
    monkeypatch.setattr(hashes, "_SETTLES", -(10**9))


def reopened(data: ShardSet) -> ShardSet:
    """As another process opens it: with what is on disk."""
    return shards.open_set(data.card, data.folder)


def flip(path: Path, place: int = 600) -> None:
    """Change one bit within the file."""
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1]))


def is_refused(data: ShardSet) -> bool:
    try:
        list(data.stream("test"))
    except RunError as error:
        assert "test-000000.tar of dataset toy is not the file of its index" in str(error)
        return True
    return False


def no_hashing(*_: Any) -> None:
    raise AssertionError("a file was hashed again")


def test_one_flipped_bit_is_refused_with_dataset_shard_and_what_to_do(data: ShardSet) -> None:
    entries = data.manifest("test")
    inside = next(entry for entry in entries if entry.shard == SHARD)
    flip(data.folder / SHARD, inside.offset + inside.size // 2)
    message = (
        r"test-000000\.tar of dataset toy is not the file of its index \(its sha256 is .*\): it is "
        r"damaged or was changed, and nothing of it is used; put the original back, or delete .*"
        r"/toy and run `promptbench data prepare toy --source DIR --out .*` again; `promptbench "
        r"data verify toy --data .*` names all that differs"
    )
    with pytest.raises(RunError, match=message) as refusal:
        list(data.stream("test"))
    assert refusal.value.exit_code == 2
    with pytest.raises(RunError, match="is not the file of its index"):
        data.items([inside])
    (other,) = data.items([next(entry for entry in entries if entry.shard != SHARD)])
    assert other.shard != SHARD  # what is whole is read


@pytest.mark.usefixtures("settled")
def test_a_shard_that_was_restored_is_taken_again(data: ShardSet) -> None:
    before, whole = list(data.stream("test")), (data.folder / SHARD).read_bytes()
    flip(data.folder / SHARD)
    assert is_refused(data) and is_refused(reopened(data))
    (data.folder / SHARD).write_bytes(whole)
    assert list(data.stream("test")) == list(reopened(data).stream("test")) == before


@pytest.mark.usefixtures("settled")
def test_an_edit_that_puts_the_modification_time_back_shows(data: ShardSet) -> None:
    path = data.folder / SHARD
    list(data.stream("test"))
    old = path.stat()
    flip(path)
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    new = path.stat()
    assert (new.st_mtime_ns, new.st_size) == (old.st_mtime_ns, old.st_size)
    assert is_refused(data) and is_refused(reopened(data))


@pytest.mark.usefixtures("settled")
def test_a_file_is_hashed_once_while_it_stays(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(data.stream("test"))
    monkeypatch.setattr(hashes.hashlib, "file_digest", no_hashing)
    assert list(data.stream("test")) == before
    assert list(reopened(data).stream("test")) == before
    (data.folder / SHARD).touch()
    with pytest.raises(AssertionError, match="hashed again"):
        list(reopened(data).stream("test"))


@pytest.mark.usefixtures("settled")
def test_shards_are_remembered_as_they_were_prepared_and_not_as_they_were_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 20)
    finish = writing._finish_split

    def disturbed(job: Any, split: str, *others: Any) -> Any:
        found = finish(job, split, *others)
        if split == "train":
            flip(job.finished / "train-000000.tar")
        return found

    monkeypatch.setattr(writing, "_finish_split", disturbed)
    data = toy.write(tmp_path / "toy")
    with monkeypatch.context() as patch:
        patch.setattr(hashes.hashlib, "file_digest", no_hashing)
        assert len(list(data.stream("test"))) == 55
    with pytest.raises(RunError, match=r"train-000000\.tar of dataset toy is not"):
        data.check(["train"], Listener())


def test_a_file_of_this_moment_is_not_remembered(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(data.stream("test"))  # written within the last two seconds, or one more try
    with (data.folder / SHARD).open("rb") as shard:
        young = hashes.state_of(shard)
    monkeypatch.setattr(hashes.time, "time_ns", lambda: young.changed + 10**9)
    sha256 = data.index.splits["test"].shards[SHARD]
    assert not reopened(data)._memory.vouches(data.folder / SHARD, sha256)
    monkeypatch.setattr(hashes.hashlib, "file_digest", no_hashing)
    with pytest.raises(AssertionError, match="hashed again"):
        list(reopened(data).stream("test"))


def test_what_changes_while_it_is_read_is_refused_at_the_next_image(data: ShardSet) -> None:
    stream = data.stream("test")
    assert isinstance(next(stream), Item)
    flip(data.folder / SHARD, -600 % (data.folder / SHARD).stat().st_size)
    with pytest.raises(RunError, match="is not the file of its index"):
        list(stream)


def test_what_is_only_touched_is_read_on(data: ShardSet) -> None:
    whole = list(data.stream("test"))
    stream = data.stream("test")
    found = [next(stream)]
    (data.folder / SHARD).touch()
    assert [*found, *stream] == whole


def test_a_shard_that_is_replaced_is_read_to_its_end_and_then_refused(data: ShardSet) -> None:
    whole, stream = list(data.stream("test")), data.stream("test")
    found, path = [next(stream)], data.folder / SHARD
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    flip(other)
    other.replace(path)
    assert [*found, *stream] == whole  # the file that was opened
    assert is_refused(data)


@pytest.mark.usefixtures("settled")
def test_verify_hashes_whatever_is_remembered_and_runs_believe_it(
    data: ShardSet, tmp_path: Path
) -> None:
    path = data.folder / SHARD
    good = hashlib.sha256(path.read_bytes()).hexdigest()
    flip(path)  # as rot would, which moves no time stamp:
    with path.open("rb") as file:
        line = json.dumps([SHARD, good, *hashes.state_of(file)])
    log = hashes.Memory(data.folder)._log
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(line + "\n")
    assert not is_refused(reopened(data))
    assert f"{SHARD}: sha256 differs" in list(checking.differences(data, Listener()))
    assert is_refused(reopened(data))


@pytest.mark.usefixtures("settled")
def test_the_files_of_splits_are_checked_before_they_are_read(data: ShardSet) -> None:
    data.check(["test", "validation"], Listener())
    flip(data.folder / "train-000001.tar")
    data.check(["test"], Listener())
    for opened in (data, data, reopened(data)):  # the hash of a damaged one is remembered as well
        with pytest.raises(RunError, match=r"train-000001\.tar of dataset toy"):
            opened.check(["train", "test"], Listener())
    (data.folder / "test-000002.tar").unlink()
    with pytest.raises(RunError, match=r"test-000002\.tar is missing"):
        data.check(["test"], Listener())
    flip(data.folder / "test.manifest.csv.gz", 30)
    with pytest.raises(RunError, match=r"test\.manifest\.csv\.gz of dataset toy"):
        data.check(["test"], Listener())


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (CardSource(kind="generated"), "and the next run generates the dataset again"),
        (CardSource(kind="wds", location="/x", options={"shards": "d"}), "data new toy --replace"),
    ],
)
def test_the_advice_fits_the_kind_of_the_dataset(
    data: ShardSet, source: CardSource, advice: str
) -> None:
    flip(data.folder / SHARD)
    other = ShardSet(data.card.model_copy(update={"source": source}), data.folder, data.index)
    with pytest.raises(RunError, match=advice):
        other.check(["test"], Listener())


@pytest.mark.usefixtures("settled")
def test_a_log_that_is_torn_or_too_large_costs_only_time(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, log = list(data.stream("test")), hashes.Memory(data.folder)._log
    log.write_text('["test-000000.tar", "ab\n[]\n{}\n7\n["a", "b", 1]\n["a", "b", 1, 2, 3, "x"]')
    assert list(reopened(data).stream("test")) == before
    assert len(log.read_text().splitlines()) == 6 + 3  # each shard on a line of its own
    monkeypatch.setattr(hashes, "_MOST_LOG", 100)
    assert list(reopened(data).stream("test")) == before
    assert len(log.read_text().splitlines()) == 3


@pytest.mark.usefixtures("settled")
def test_hashes_that_cannot_be_kept_are_said_and_cost_no_run(
    data: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="hashes are not remembered: cannot write"):
        assert len(list(data.stream("test"))) == 55
