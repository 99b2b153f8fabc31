"""Writing shards: the same bytes after any interruption, and nothing half-written."""

from __future__ import annotations

import errno
import io
import random
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from promptbench.data.cards import checking, listing
from promptbench.data.images import transforms
from promptbench.data.layouts import Sample
from promptbench.data.shards import shards, writing
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import UserError
from promptbench.storage import files
from promptbench.tracking import Listener
from tests.data import killed, toy
from tests.data.toy import digests, encoded, rows
from tests.faults import driver


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 10)


def visible(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def test_killed_runs_end_in_the_same_bytes(tmp_path: Path) -> None:
    undisturbed = toy.write(tmp_path / "undisturbed").folder
    folder = tmp_path / "killed" / "toy"
    points = random.Random(3)
    for _ in range(4):
        child = driver.child(killed.write, folder, points.randint(1, 30))
        child.join()
        assert child.exitcode in (0, -9)
        assert folder.is_dir() == (child.exitcode == 0)
    toy.write(folder)
    assert digests(folder) == digests(undisturbed)
    assert visible(folder.parent) == ["toy"] and not list(folder.parent.glob(".*.partial"))


def counting(function: Any, calls: list[str]) -> Any:
    def counted(job: Any, plan: Any) -> Any:
        calls.append(plan.name)
        return function(job, plan)

    return counted


def test_a_second_run_keeps_finished_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, written = tmp_path / "toy", []
    original = writing.write_shard

    def counted(job: Any, plan: Any, task: Any) -> None:
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(plan.name)
        original(job, plan, task)

    monkeypatch.setattr(writing, "write_shard", counted)
    with pytest.raises(KeyboardInterrupt):
        toy.write(folder)
    monkeypatch.setattr(
        writing, "write_shard", lambda *a: (written.append(a[1].name), original(*a))
    )
    toy.write(folder)
    assert len(written) == len(set(written)) == 9  # three shards of train, six of test


def test_a_finished_shard_that_was_damaged_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = digests(toy.write(tmp_path / "undisturbed").folder)
    monkeypatch.setattr(writing, "_finish_split", lambda *_: pytest.fail("far enough"))
    with pytest.raises(pytest.fail.Exception, match="far enough"):
        toy.write(tmp_path / "toy")
    (tmp_path / ".toy.partial" / "set" / "train-000001.tar").write_bytes(b"damaged")
    monkeypatch.undo()
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 10)
    assert digests(toy.write(tmp_path / "toy").folder) == expected


def test_other_images_are_not_mixed_with_a_killed_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(pytest.fail.Exception):
        patch.setattr(writing, "_finish_split", lambda *_: pytest.fail("far enough"))
        toy.write(tmp_path / "toy")
    renamed = {
        "train": [(f"other{name}", label, image) for name, label, image in rows(30, first=100)],
        "test": rows(55),
    }
    again = toy.write(tmp_path / "toy", toy.Memory(renamed))
    assert again.manifest("train")[0].key == "other00000"


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fsync(_: int) -> None:
        calls.append(1)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", fsync)
        with pytest.raises(UserError, match=r"No space left on device.*free some space"):
            toy.write(tmp_path / "toy")
    assert not visible(tmp_path)
    assert not list(tmp_path.glob("**/train-*.tar-*"))
    assert not list(checking.differences(toy.write(tmp_path / "toy"), Listener()))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_bytes_do_not_depend_on_workers(tmp_path: Path, workers: int) -> None:
    one = toy.write(tmp_path / "one", options=writing.WritingOptions(check=False, workers=0))
    other = toy.write(tmp_path / "other", options=writing.WritingOptions(workers=workers))
    assert digests(one.folder) == digests(other.folder)


def test_counts_must_be_the_cards(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its card says 55"):
        toy.write(tmp_path / "toy", toy.source(test=54))
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    for name in ("caf\udce9.png", "two\nlines.png"):
        given = [(name, 0, toy.png(0)), *rows(30)[1:]]
        with pytest.raises(UserError, match=r"toy/train: rename .*not UTF-8 text"):
            toy.write(tmp_path / "toy", toy.Memory({"train": given, "test": rows(55)}))


def test_an_empty_class_and_a_label_out_of_range_are_named(tmp_path: Path) -> None:
    without = [(n, label if label != 3 else 4, i) for n, label, i in rows(30)]
    with pytest.raises(UserError, match="1 class has no image, the first is 'dog'"):
        toy.write(tmp_path / "toy", toy.Memory({"train": without, "test": rows(55)}))
    beyond = [*rows(30)[:-1], ("x.png", 5, toy.png(0))]
    with pytest.raises(UserError, match=r"toy/train: label 5 is out of range.*5 classes"):
        toy.write(tmp_path / "toy", toy.Memory({"train": beyond, "test": rows(55)}))


def test_a_truncated_image_is_named_with_its_shard(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise), "JPEG")
    for broken in (whole[: len(whole) // 2], b"\x89PNG nothing", b"not an image", b""):
        given = [*rows(54), ("holiday/broken.jpg", 4, broken)]
        with pytest.raises(UserError, match=r"image holiday/broken\.jpg \(of shard test-0000") as e:
            toy.write(tmp_path / "toy", toy.Memory({"train": rows(30), "test": given}))
        assert "BytesIO" not in str(e.value)
    assert not visible(tmp_path)


def test_what_an_image_is_follows_from_its_content(tmp_path: Path) -> None:
    form = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP"}
    form |= {"tif": "TIFF", "jp2": "JPEG2000", "ppm": "PPM"}
    form |= {"avif": "AVIF"} if features.check("avif") else {}
    hidden = [
        (f"{i}.jpg", i % 5, encoded(Image.new("RGB", (9, 9), (20 * i, 0, 0)), form[ending]))
        for i, ending in enumerate(form)
    ]
    data = toy.write(tmp_path / "toy", toy.Memory({"test": hidden}), splits={"test": len(form)})
    with tarfile.open(data.folder / "test-000000.tar") as tar:
        names = set(tar.getnames())
    assert names == {f"{i}.{e}" for i, e in enumerate(form)} | {
        f"{i}.cls" for i in range(len(form))
    }
    assert not list(checking.differences(data, Listener()))


def test_resized_images_are_marked_and_only_large_ones_change(tmp_path: Path) -> None:
    tall = [encoded(Image.new("RGB", (300, 600), name), "PNG") for name in ("red", "tan", "blue")]
    given = [(f"{i}.png", i, tall[i] if i < 3 else toy.png(i)) for i in range(5)]
    options = writing.WritingOptions(resize_short=288)
    source = toy.Memory({"test": given})
    data = toy.write(tmp_path / "toy", source, splits={"test": 5}, options=options)
    assert data.index.resize_short == 288
    sizes = [transforms.decode(data.read(entry)).size for entry in data.manifest("test")]
    assert sizes == [(288, 576)] * 3 + [(8, 8)] * 2
    assert data.read(data.manifest("test")[4]) == toy.png(4)


names = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1)


@given(st.lists(st.tuples(names, st.sampled_from([".jpg", ".PNG", ""])), unique=True, max_size=8))
def test_keys_are_unique_short_and_without_dots(parts: list[tuple[str, str]]) -> None:
    given = [Sample(f"folder/{stem}{suffix}", 0) for stem, suffix in parts]
    if len({s.name for s in given}) < len(given):
        return
    try:
        made = listing.keys(given)
    except UserError as error:
        assert "have the key" in str(error)
        return
    assert len(set(made)) == len(given)
    assert all("." not in key and len(key.encode()) <= 90 for key in made)


def test_names_that_differ_in_their_suffix_alone_stay_apart() -> None:
    made = listing.keys([Sample("a/1.jpg", 0), Sample("a/1.png", 0), Sample("a/2.v2.jpg", 0)])
    assert made == ["a/1%2ejpg", "a/1%2epng", "a/2%2ev2"]
    with pytest.raises(UserError, match="two samples have the key 'a/1"):
        listing.keys([Sample("a/1.jpg", 0), Sample("a/1.jpg", 1)])


# --- verify -------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> ShardSet:
    return toy.write(tmp_path / "toy")


def found(data: ShardSet) -> list[str]:
    return list(checking.differences(data, Listener()))


def test_verify_names_everything_that_differs(data: ShardSet) -> None:
    assert found(data) == []
    entry = data.manifest("test")[0]
    flipped = data.folder / entry.shard
    content = bytearray(flipped.read_bytes())
    content[entry.offset] ^= 1
    flipped.write_bytes(content)
    (data.folder / "train-000001.tar").unlink()
    short = data.folder / "train-000002.tar"
    short.write_bytes(short.read_bytes()[:2000])
    (data.folder / "notes.txt").write_text("mine")
    problems = found(data)
    assert f"{entry.shard}: sha256 differs" in problems
    assert "train-000001.tar: missing" in problems
    assert any("train-000002.tar: not readable to its end" in p for p in problems)
    assert "notes.txt: this file does not belong to the dataset" in problems


def test_verify_compares_labels_with_the_manifest(data: ShardSet) -> None:
    path = data.folder / "test-000000.tar"
    buffer = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=buffer, mode="w") as new:
        for member in old:
            file = old.extractfile(member)
            assert file is not None
            content = b"4" if member.name.endswith(".cls") else file.read()
            new.addfile(member, io.BytesIO(content))
    path.write_bytes(buffer.getvalue())
    assert any("is not as the manifest says" in problem for problem in found(data))


def test_a_lock_makes_the_second_process_wait(tmp_path: Path) -> None:
    several = [driver.child(killed.write, tmp_path / "toy") for _ in range(3)]
    for process in several:
        process.join()
    assert [process.exitcode for process in several] == [0, 0, 0]
    assert visible(tmp_path) == ["toy"]
