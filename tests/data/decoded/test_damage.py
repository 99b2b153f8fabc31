"""Damaged parts, killed writers and disks that refuse cost time, and change no pixel."""

from __future__ import annotations

import errno
import io
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from promptbench.core.protocol import Target
from promptbench.data.decoded import keys, parts
from promptbench.data.decoded.folder import Folder
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import RunError
from promptbench.storage import leases
from tests.data.decoded.passes import ALL, BASE, SLOT, SMALL, cache, kept, seen
from tests.short_form import every

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "one bit of a pixel": lambda b: b[: SLOT + 5] + bytes([b[SLOT + 5] ^ 1]) + b[SLOT + 6 :],
    "one bit of the list": lambda b: b[:-80] + bytes([b[-80] ^ 1]) + b[-79:],
    "cut off": lambda b: b[: len(b) // 2],
    "cut within the end": lambda b: b[:-3],
    "empty": lambda b: b"",
    "zeros": lambda b: bytes(len(b)),
    "an image too many": lambda b: b[:SLOT] + b,
    "a list of more than there is": lambda b: b[:-8] + (2**40).to_bytes(8, "little"),
    "something else": lambda b: b"nothing of ours" * 99,
}


@pytest.mark.parametrize(("workers", "how"), every(2, [0, 3], list(DAMAGE)))
def test_damage_costs_time_and_is_said_once(
    data: ShardSet, expected: str, counts: Callable[[], int], how: str, workers: int
) -> None:
    seen(data)
    bad, *others = kept()
    bad.write_bytes(DAMAGE[how](bad.read_bytes()))
    counts()
    with pytest.warns(UserWarning, match="damaged") as said:
        assert seen(data, workers=workers) == expected
    assert len([each for each in said if "damaged" in str(each.message)]) == 1
    assert f"the cached images {bad.name} are damaged" in str(said[0].message)
    assert 1 <= counts() <= 20
    assert seen(data) == expected
    counts()
    assert seen(data) == expected and counts() == 0 and kept() == [bad, *others]


def test_a_part_of_another_shard_or_transform_is_not_taken_for_one(
    data: ShardSet, expected: str
) -> None:
    seen(data)
    first, second, _ = kept()
    shutil.copyfile(first, second)
    with pytest.warns(UserWarning, match="it is of other images"):
        assert seen(data) == expected


@pytest.mark.parametrize("part", [BASE, ALL], ids=str)
def test_a_damaged_shard_ends_a_pass_whatever_is_kept(data: ShardSet, part: Target) -> None:
    seen(data, part)
    path = data.folder / "test-000001.tar"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(RunError, match=r"test-000001\.tar of dataset toy is not the file of"):
        seen(data)


def test_what_a_killed_writer_left_is_removed(data: ShardSet, expected: str) -> None:
    shard = min(data.index.splits["test"].shards)
    digest = keys.digest_of(keys.facts_of(data.sha256_of(shard), SMALL))
    cache().mkdir(parents=True)
    torn, old = cache() / f".{digest}-0.images-abcd1234", cache() / ".other-0.images-abcd1234"
    torn.write_bytes(b"half"), old.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert seen(data) == expected
    assert not torn.exists() and not old.exists() and len(kept()) == 3


class Full(io.BytesIO):
    """A disk that has room for 5 images."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 5 * SLOT:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk_costs_time(
    data: ShardSet, expected: str, monkeypatch: pytest.MonkeyPatch, counts: Callable[[], int]
) -> None:
    open_handle = os.fdopen

    def full(handle: int, mode: str) -> IO[bytes]:
        open_handle(handle, mode).close()
        return Full()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", full)
        with pytest.warns(UserWarning, match="decoded images are not kept: cannot write") as said:
            assert seen(data) == expected
    assert len(said) == 1 and not list(cache().glob("*.images")) and not list(cache().glob(".*-*"))
    assert not leases.holders(cache())
    counts()
    assert seen(data) == expected and counts() == 55


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_only_be_read_is_read(
    data: ShardSet, expected: str, counts: Callable[[], int]
) -> None:
    seen(data, BASE)
    counts()
    cache().chmod(0o555)
    try:
        with pytest.warns(UserWarning, match="decoded images are not kept"):
            assert seen(data) == expected
    finally:
        cache().chmod(0o755)
    assert counts() == 22


def test_a_folder_that_cannot_be_written_costs_time(
    data: ShardSet, expected: str, counts: Callable[[], int]
) -> None:
    """A file lies where the folder would be."""
    cache().parent.mkdir(exist_ok=True)
    cache().write_text("not a folder")
    with pytest.warns(UserWarning, match="decoded images are not kept") as said:
        assert seen(data) == expected
    assert len([each for each in said if "not kept" in str(each.message)]) == 1 and counts() == 55
    told = f"cannot write into {cache()} ("  # no name of a file, so that a run says it once
    assert any(told in str(each.message) for each in said)


def test_a_part_that_vanishes_or_cannot_be_read_costs_time(
    data: ShardSet, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(data)
    listed = Folder().listed()
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "listed", lambda _: listed)
        kept()[0].unlink()
        assert seen(data) == expected
    failing = itertools.count()

    def unreadable(*_: object) -> int:
        if next(failing) % 2:
            raise OSError(errno.EIO, "Input/output error")
        return 0

    seen(data)
    before = kept()
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", lambda *_: unreadable(None, next(failing)))
        with pytest.warns(UserWarning, match=r"cannot be read \(Input/output error\)"):
            assert seen(data) == expected
    assert kept() == before  # they may be whole


def test_few_bytes_are_looked_at_before_a_list_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "x.images"
    path.write_bytes(b"x" * 100 + parts._END.pack(parts._MARK, 2**62))
    with pytest.raises(parts.Damaged, match="its end is missing"):
        parts.Part(path, {}, (3, 4, 4))
