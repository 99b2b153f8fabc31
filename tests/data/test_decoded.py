"""The cache of decoded images: equal pixels whatever state it is in, one writer, a bound."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
from PIL import Image

from promptbench.core.protocol import Target
from promptbench.data import decoded, loader
from promptbench.data.decoded import filling, keys, parts, reading
from promptbench.data.decoded.folder import Folder
from promptbench.data.images import transforms
from promptbench.data.shards import shards
from promptbench.data.shards.shards import Item, ShardSet
from promptbench.data.web.downloading import Expected
from promptbench.errors import RunError, UserError
from promptbench.models.preprocess import Preprocess
from promptbench.storage import leases
from tests.data import toy
from tests.forbidding import forbid
from tests.short_form import every

ALL, BASE, NEW = (Target("toy", name, "none") for name in ("all", "base", "new"))
SMALL = Preprocess(16)
SLOT = 3 * 16 * 16


@pytest.fixture(name="data")
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardSet:
    """55 noisy test images of several sizes in three shards."""
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 20)
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", "1")
    return toy.write(tmp_path / "toy", toy.Memory({"train": noisy(30, 100), "test": noisy(55, 0)}))


def noisy(count: int, first: int) -> list[tuple[str, int, bytes]]:
    rows = []
    for number in range(count):
        rng = np.random.default_rng(first + number)
        pixels = rng.integers(0, 256, (20 + number % 7, 30, 3), dtype=np.uint8)
        rows.append(
            (f"{number:05d}.png", number * 5 // count, toy.encoded(Image.fromarray(pixels), "PNG"))
        )
    return rows


def seen(
    data: ShardSet,
    target: Target = ALL,
    how: Preprocess = SMALL,
    workers: int = 0,
    size: int = 8,
    limit: int | None = None,
) -> str:
    """A hash of the keys, labels and normalised images of a pass."""
    digest = hashlib.sha256()
    for batch in loader.test_batches(data, target, how, workers, limit, size):
        assert batch.pixels.dtype == torch.uint8 and batch.pixels.is_contiguous()
        digest.update(repr((batch.keys, batch.labels.tolist(), batch.images.shape)).encode())
        digest.update(batch.images.numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(name="expected")
def without_cache(data: ShardSet, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patch:
        patch.setenv("PROMPTBENCH_IMAGES_GB", "0")
        found = seen(data)
    assert not kept()
    return found


@pytest.fixture(name="counts")
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many images have been decoded since the last call."""
    times: list[Item] = []
    original = reading.decoded

    def counting(item: Item) -> Image.Image:
        times.append(item)
        return original(item)

    def since() -> int:
        found = len(times)
        times.clear()
        return found

    monkeypatch.setattr(reading, "decoded", counting)
    return since


def cache() -> Path:
    return Path(os.environ["PROMPTBENCH_CACHE"]) / "images"


def kept() -> list[Path]:
    return sorted(cache().glob("*.images"))


@pytest.mark.parametrize("workers", [0, 3])
def test_a_second_pass_decodes_nothing(
    data: ShardSet, expected: str, counts: Callable[[], int], workers: int
) -> None:
    assert seen(data, workers=workers) == expected and counts() == 55
    assert len(kept()) == 3 and not list(leases.holders(cache()))
    assert seen(data, workers=workers) == expected and counts() == 0
    assert seen(data, workers=3 - workers, size=100) != expected  # other batches


def test_passes_over_parts_of_a_set_add_up(data: ShardSet, counts: Callable[[], int]) -> None:
    """Base, then a few, then all: each image is decoded once."""
    seen(data, BASE)
    assert counts() == 33
    seen(data, ALL, limit=30)
    first = counts()
    seen(data, NEW)
    seen(data, ALL)
    assert 0 < first < 22 and first + counts() == 22
    seen(data, BASE), seen(data, ALL, limit=7)
    assert counts() == 0


def test_a_pass_that_stops_early_has_kept_what_it_decoded(
    data: ShardSet, expected: str, counts: Callable[[], int]
) -> None:
    batches = loader.test_batches(data, ALL, SMALL, 2, None, 8)
    next(batches), next(batches)
    batches.close()
    counts()
    assert sum(len(path.read_bytes()) // SLOT for path in kept()) >= 16
    assert seen(data) == expected and counts() == 55 - 16


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


@pytest.mark.parametrize(
    "change",
    [
        {"size": 17},
        {"interpolation": "bilinear"},
        {"resize_mode": "squash"},
        {"resize_mode": "longest"},
        {"resize_mode": "longest", "fill_color": 9},
    ],
    ids=str,
)
def test_each_way_of_resizing_has_its_own_pixels(data: ShardSet, change: dict[str, Any]) -> None:
    way = replace(SMALL, **change)
    first = seen(data, how=way)
    seen(data)
    assert seen(data, how=way) == first
    assert len(kept()) == 6
    for entry in data.manifest("test")[:3]:
        image = transforms.decode(data.read(entry))
        expected = toy.entered(transforms.for_testing, image, way)
        batches = loader.test_batches(data, ALL, way, 0, None)
        found = {k: i for b in batches for k, i in zip(b.keys, b.images, strict=True)}
        assert torch.equal(found[entry.key], expected)


def test_mean_and_std_share_the_pixels(data: ShardSet, counts: Callable[[], int]) -> None:
    seen(data)
    counts()
    other = replace(SMALL, mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.3))
    assert seen(data, how=other) != seen(data) and counts() == 0 and len(kept()) == 3


def test_whatever_makes_pixels_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = keys.facts_of("a" * 64, SMALL)
    assert set(facts) == {
        *("shard", "size", "interpolation", "resize_mode", "fill_color"),
        *("pillow", "codecs", "torchvision", "machine", "code"),
    }
    assert keys.facts_of("b" * 64, SMALL) != facts
    known = keys.digest_of(facts)
    for name in facts:
        assert keys.digest_of(facts | {name: "another"}) != known
    assert facts["pillow"] == Image.__version__ and facts["codecs"]["jpg"]


def test_a_shard_replaced_by_another_of_its_name_is_another(
    data: ShardSet, tmp_path: Path, counts: Callable[[], int]
) -> None:
    seen(data)
    counts()
    shutil.rmtree(data.folder)
    other = toy.write(data.folder, toy.Memory({"train": noisy(30, 7), "test": noisy(55, 500)}))
    assert other.index.splits["test"].shards.keys() == data.index.splits["test"].shards.keys()
    first = seen(other)
    assert counts() == 55 and seen(other) == first and counts() == 0


def test_an_image_that_cannot_be_decoded_still_ends_the_pass(
    data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = reading.decoded

    def spoilt(item: Item) -> Image.Image:
        return original(replace(item, image=b"no picture") if item.key == "00041" else item)

    with monkeypatch.context() as patch:
        patch.setattr(reading, "decoded", spoilt)
        for _ in range(2):
            with pytest.raises(UserError, match=r"sample 00041 of shard test-.* cannot be decoded"):
                seen(data)
    seen(data)  # and what is kept of the others is whole


def test_of_a_served_set_nothing_is_fetched_that_is_kept(data: ShardSet, expected: str) -> None:
    seen(data)

    def fetch(name: str, _: Expected) -> Path:
        assert "manifest" in name, f"{name} is fetched"
        return data.folder / name

    assert seen(replace(data, fetch=fetch)) == expected


@pytest.mark.parametrize("part", [BASE, ALL], ids=str)
def test_a_damaged_shard_ends_a_pass_whatever_is_kept(data: ShardSet, part: Target) -> None:
    seen(data, part)
    path = data.folder / "test-000001.tar"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(RunError, match=r"test-000001\.tar of dataset toy is not the file of"):
        seen(data)


# --- the bound ----------------------------------------------------------------------------------


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


# --- several processes, kills, and disks that refuse ----------------------------------------------


def test_one_process_writes_a_shard(
    data: ShardSet, expected: str, counts: Callable[[], int]
) -> None:
    """Who finds another at it decodes, and writes nothing."""
    shard = min(data.index.splits["test"].shards)
    digest = keys.digest_of(keys.facts_of(data.sha256_of(shard), SMALL))
    with leases.held(Folder().lease(digest)):
        assert seen(data) == expected
        assert len(kept()) == 2 and not [p for p in kept() if p.name.startswith(digest)]
    assert seen(data) == expected and len(kept()) == 3


def test_two_passes_at_the_same_time_write_once(data: ShardSet, expected: str) -> None:
    """The second began when nothing was there, and comes to the shards when they are."""
    slow = loader.test_batches(data, ALL, SMALL, 0, None, 8)
    next(slow)
    assert seen(data) == expected
    list(slow)
    assert len(kept()) == 3
    assert seen(data) == expected


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


def test_a_cache_that_may_not_be_looked_into_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMPTBENCH_IMAGES_GB", raising=False)
    forbid(monkeypatch, tmp_path / "cache")
    assert decoded.bound_here(tmp_path / "cache" / "images") > 0


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


def test_a_removed_part_is_read_to_its_end_by_who_has_it_open(
    data: ShardSet, expected: str
) -> None:
    seen(data)

    def removing() -> Iterator[loader.Batch]:
        for batch in loader.test_batches(data, ALL, SMALL, 0, None, 8):
            for path in kept():
                path.unlink()
            yield batch

    assert [b.keys for b in removing()] and seen(data) == expected


def test_few_bytes_are_looked_at_before_a_list_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "x.images"
    path.write_bytes(b"x" * 100 + parts._END.pack(parts._MARK, 2**62))
    with pytest.raises(parts.Damaged, match="its end is missing"):
        parts.Part(path, {}, (3, 4, 4))


def test_nothing_is_said_where_all_is_well(data: ShardSet) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            seen(data, workers=2)
