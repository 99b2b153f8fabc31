"""The bound of the folder of decoded images: what goes first, what stays, and the default."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from promptbench.data import decoded, loader
from promptbench.data.decoded import filling
from promptbench.data.decoded.folder import Folder
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import UserError
from tests.data.decoded.passes import ALL, SLOT, SMALL, cache, kept, seen
from tests.forbidding import forbid


def test_the_least_recently_used_go_but_none_in_use(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch, counts: Callable[[], int], tmp_path: Path
) -> None:
    seen(data)
    size = sum(path.stat().st_size for path in kept())
    names = [path.name for path in kept()]
    for age, path in enumerate(kept()):
        os.utime(path, (age, age))
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", repr((size + 2500) / 2**30))
    other = replace(SMALL, fill_color=5)
    seen(data, how=other, limit=5)  # of one shard: the oldest goes, as little as possible
    assert [path.name for path in kept() if path.name in names] == names[1:]
    seen(data, how=other)
    assert not {path.name for path in kept()} & set(names)
    counts()
    seen(data, how=other)
    assert counts() == 0
    assert sum(path.stat().st_size for path in kept()) <= size + 2500


def test_a_set_larger_than_the_bound_keeps_what_fits(
    data: ShardSet, expected: str, monkeypatch: pytest.MonkeyPatch, counts: Callable[[], int]
) -> None:
    """A pass removes nothing that it has read or written itself: two shards stay, each time."""
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", repr(2 * (20 * (SLOT + 40) + 2100) / 2**30))
    with pytest.warns(UserWarning, match="PROMPTBENCH_IMAGES_GB, or the free disk, leaves no room"):
        assert seen(data) == expected
    counts()
    for _ in range(2):
        with pytest.warns(UserWarning, match="leaves no room"):
            assert seen(data) == expected
        assert counts() == 15
    assert len(kept()) == 2


def test_a_reader_keeps_what_it_reads(data: ShardSet) -> None:
    seen(data)
    batches = loader.test_batches(data, ALL, SMALL, 0, None, 8)
    next(batches)
    small = Folder(cache(), sum(path.stat().st_size for path in kept()))
    with reserved(100):
        assert not small.has_room() and len(kept()) == 3
    batches.close()
    with reserved(100):
        assert small.has_room() and len(kept()) == 2
    with reserved(10**6):
        assert not small.has_room() and len(kept()) == 2  # nothing goes in vain


@contextmanager
def reserved(size: int) -> Iterator[None]:
    """Another process has begun to write a part of so many bytes."""
    with (cache() / ".a-0.images-x").open("wb") as file:
        file.truncate(size)
        yield
    Path(file.name).unlink()


def test_of_two_that_begin_together_one_keeps_its_images(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one does not count on the room that the first has taken, and not used yet."""
    one_shard = 20 * (SLOT + 40) + 2100
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", repr(one_shard / 2**30))
    batches = loader.test_batches(data, ALL, SMALL, 0, 15, 8)
    next(batches)
    with pytest.warns(UserWarning, match="leaves no room"):
        seen(data, how=replace(SMALL, fill_color=5), limit=15)
    assert not kept()
    assert len([*batches]) == 1 and len(kept()) == 1
    assert sum(path.stat().st_size for path in kept()) <= one_shard


def test_who_writes_nothing_removes_nothing(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes these images at the same time, and makes room for them."""
    seen(data)
    before = kept()
    held = sum(path.stat().st_size for path in before)
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", repr(held / 2**30))

    @contextmanager
    def taken(_: Path) -> Iterator[None]:
        yield

    monkeypatch.setattr(filling.leases, "claimed", taken)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen(data, how=replace(SMALL, fill_color=5))
    assert kept() == before


def test_a_smaller_bound_holds_from_the_next_pass_on(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of its own goes, and what is in use stays."""
    seen(data)
    seen(data, how=replace(SMALL, fill_color=5))
    size = sum(path.stat().st_size for path in kept())
    assert len(kept()) == 6
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", repr((size / 2) / 2**30))
    first = {path for path in kept() if path.stat().st_mtime_ns}
    seen(data)
    assert len(kept()) == 3 and set(kept()) < first
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", repr(1000 / 2**30))
    seen(data)
    assert len(kept()) == 3  # which this pass has read


def test_a_folder_that_cannot_be_asked_for_room_costs_time_only(
    data: ShardSet, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMPTBENCH_IMAGES_GB")

    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    assert decoded.bound_here() > 0
    with pytest.warns(UserWarning, match="cannot write into .* \\(Permission denied\\)"):
        assert seen(data) == expected
    assert not kept()


def test_the_default_is_a_share_of_the_disk(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMPTBENCH_IMAGES_GB")
    free = shutil.disk_usage(data.folder)._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    assert decoded.bound_here() == 10**9 // 4
    seen(data)
    held = sum(path.stat().st_size for path in cache().iterdir() if path.is_file())
    assert decoded.bound_here() == (10**9 + held) // 4
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free._replace(free=10**13))
    assert decoded.bound_here() == 40 * 2**30
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free._replace(free=2**28))
    roomy = Folder(cache(), 2**40)  # but the disk is full: what else a run writes goes first
    with reserved(1):
        assert roomy.has_room() and len(kept()) == 2
    with reserved(10**5):
        assert not roomy.has_room()


@pytest.mark.parametrize("value", ["lots", "-1", "nan", "inf", "1,5"])
def test_a_bound_that_is_no_number_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", value)
    with pytest.raises(UserError, match=f"PROMPTBENCH_IMAGES_GB must be a number.* not '{value}'"):
        decoded.bound_here()


def test_switched_off_nothing_is_read_written_or_removed(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch, counts: Callable[[], int]
) -> None:
    seen(data)
    before = {path: path.stat().st_mtime_ns for path in kept()}
    counts()
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", "0")
    seen(data)
    assert counts() == 55 and {path: path.stat().st_mtime_ns for path in kept()} == before


def test_a_cache_that_may_not_be_looked_into_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMPTBENCH_IMAGES_GB", raising=False)
    forbid(monkeypatch, tmp_path / "cache")
    assert decoded.bound_here(tmp_path / "cache" / "images") > 0
