"""Shards and loading: deterministic bytes, exact counts, damaged files."""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptbench.core.protocol import Source, Target
from promptbench.data import loader
from promptbench.data.images.augmentation import Augmentation
from promptbench.data.shards import shards
from promptbench.data.shards.shards import Item, ShardSet
from promptbench.errors import UserError
from tests.data import toy
from tests.data.test_transforms import Target as Normalisation
from tests.data.toy import digests, rows
from tests.forbidding import forbid

TEST_ALL = Target("toy", "all", "none")


@pytest.fixture(name="data")
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardSet:
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 20)
    return toy.write(tmp_path / "toy")


def test_the_same_input_gives_the_same_bytes(data: ShardSet, tmp_path: Path) -> None:
    again = toy.write(tmp_path / "again")
    assert digests(again.folder) == digests(data.folder)
    assert len(data.index.splits["test"].shards) == 3
    assert data.index.splits["test"].per_class == [11] * 5


def test_manifest_is_canonical_and_locates_every_image(data: ShardSet) -> None:
    originals = rows(55)
    entries = data.manifest("test")
    assert [e.key for e in entries] == [f"{i:05d}" for i in range(55)]
    assert all(data.read(e) == image for e, (_, _, image) in zip(entries, originals, strict=True))


def test_streaming_gives_every_sample_once(data: ShardSet) -> None:
    streamed = list(data.stream("test"))
    assert sorted(i.key for i in streamed) == [f"{i:05d}" for i in range(55)]
    assert [i.key for i in streamed] != sorted(i.key for i in streamed)  # shuffled once, at writing


@pytest.mark.parametrize("workers", range(9))
def test_batches_do_not_depend_on_workers(data: ShardSet, workers: int) -> None:
    batches = list(loader.test_batches(data, TEST_ALL, Normalisation(), workers, None))
    keys = [key for batch in batches for key in batch.keys]
    assert keys == [item.key for item in data.stream("test")]
    assert sum(len(batch.labels) for batch in batches) == 55


def test_halves_are_relabelled(data: ShardSet) -> None:
    new = Target("toy", "new", "classes")
    (batch,) = loader.test_batches(data, new, Normalisation(), 0, None)
    assert sorted(set(batch.labels.tolist())) == [0, 1]
    assert loader.class_names(data, new) == ("dog", "emu")
    assert loader.n_test_samples(data, new, None) == 22
    assert loader.n_test_samples(data, new, 5) == 5


def test_labels_of_a_class_set_with_gaps_are_renumbered_among_the_names(data: ShardSet) -> None:
    outer = Target("toy", "outer", "none", labels=(0, 4))
    among = replace(outer, names="even", competing=(0, 2, 4))
    for target, numbers, names in (
        (outer, {0, 1}, ("ant", "emu")),
        (among, {0, 2}, ("ant", "cat", "emu")),
    ):
        (batch,) = loader.test_batches(data, target, Normalisation(), 0, None)
        assert set(batch.labels.tolist()) == numbers
        assert loader.class_names(data, target) == names
        assert loader.n_test_samples(data, target, None) == 22
    with pytest.raises(UserError, match="not all of its images show odd classes"):
        odd = replace(outer, names="odd", competing=(1, 3))
        list(loader.test_batches(data, odd, Normalisation(), 0, None))


def test_few_shots_of_a_class_set_are_those_drawn_over_all_classes(data: ShardSet) -> None:
    whole = loader.few_shot_set(data, Source("toy", "all", 4), 1)
    outer = loader.few_shot_set(data, Source("toy", "outer", 4, (0, 4)), 1)
    assert [i.key for i in outer.items] == [i.key for i in whole.items if i.label in (0, 4)]
    assert outer.class_names == ("ant", "emu") and {i.label for i in outer.items} == {0, 1}


def test_few_shot_set_is_sampled_before_the_halves(data: ShardSet) -> None:
    whole = loader.few_shot_set(data, Source("toy", "all", 4), 1)
    base = loader.few_shot_set(data, Source("toy", "base", 4), 1)
    assert len(whole) == 20 and base.class_names == ("ant", "bee", "cat")
    assert [i.key for i in base.items] == [i.key for i in whole.items if i.label < 3]


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 3))
def test_epochs_drop_the_incomplete_batch(count: int, batch_size: int, number: int) -> None:
    items = tuple(Item(name, image, label) for name, label, image in rows(count))
    few = loader.FewShotSet(items, ("a", "b", "c", "d", "e"))
    epoch = few.epoch(
        number,
        seed=1,
        batch_size=batch_size,
        augment=Augmentation(Normalisation(size=4), (0.5, 1.0), 0.5).on_host,
        workers=0,
    )
    keys = [key for batch in epoch for key in batch.keys]
    expected = count // batch_size * batch_size if count >= batch_size else count
    assert len(keys) == len(set(keys)) == expected


def test_a_truncated_shard_is_named(data: ShardSet) -> None:
    path = data.folder / "test-000001.tar"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"test-000001\.tar of dataset toy is not the file of"):
        list(loader.test_batches(data, TEST_ALL, Normalisation(), 2, None))


def test_a_missing_shard_is_named(data: ShardSet) -> None:
    (data.folder / "test-000002.tar").unlink()
    with pytest.raises(UserError, match=r"test-000002\.tar is missing.*data verify toy"):
        list(data.stream("test"))


def test_a_changed_manifest_is_refused(data: ShardSet) -> None:
    path = data.folder / "test.manifest.csv.gz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="sha256 differs"):
        data.manifest("test")
    path.unlink()
    with pytest.raises(UserError, match=r"manifest\.csv\.gz is missing"):
        data.manifest("test")


def test_labels_out_of_range_and_repeated_keys_are_refused(data: ShardSet) -> None:
    path = data.folder / "test.manifest.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    beyond = [*lines, lines[0].replace(",0,", ",9,", 1)]
    twice = [lines[0], lines[1].replace("00001", "00000", 1), *lines[2:]]
    for changed, message in ((beyond, "more rows than the 55"), (twice, "repeats a key")):
        content = gzip.compress("\n".join(changed).encode())
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        split = data.index.splits["test"].model_copy(update={"manifest": sha256})
        index = data.index.model_copy(update={"splits": {**data.index.splits, "test": split}})
        with pytest.raises(UserError, match=message):
            ShardSet(data.card, data.folder, index).manifest("test")


def test_an_image_that_breaks_later_is_named_with_its_shard(data: ShardSet) -> None:
    entry = data.manifest("test")[7]
    path = data.folder / entry.shard
    content = bytearray(path.read_bytes())
    content[entry.offset : entry.offset + 8] = b"garbage!"
    path.write_bytes(content)
    split = data.index.splits["test"]  # as if it had been prepared so
    split.shards[entry.shard] = hashlib.sha256(content).hexdigest()
    with pytest.raises(UserError, match=rf"sample 00007 of shard {entry.shard} cannot be decoded"):
        list(loader.test_batches(data, TEST_ALL, Normalisation(), 2, None))


def test_an_index_cannot_lead_out_of_its_folder(data: ShardSet) -> None:
    path = data.folder / "index.json"
    path.write_text(path.read_text().replace("test-000000.tar", "../test-000000.tar"))
    with pytest.raises(UserError, match=r"index\.json is damaged"):
        shards.open_set(data.card, data.folder)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_manifest_or_an_error(junk: bytes, wrapped: bool) -> None:
    try:
        shards.parse_manifest(gzip.compress(junk) if wrapped else junk, "manifest")
    except UserError as error:
        assert "manifest is damaged" in str(error)


@pytest.mark.parametrize(
    ("unpacked", "why"),
    [
        (b"a,0,test-000000.tar,0,1\n" * 2**20, "it has more rows than the 3 of its index"),
        (b"," * 2**24, "a row has more than 65536 bytes"),
        (b'"' + b"a" * 2**24, "a row has more than 65536 bytes"),
        (b'"' + b"a\n" * 2**20, "field larger than field limit"),
    ],
)
def test_a_manifest_that_would_unpack_to_much_stops_soon(unpacked: bytes, why: str) -> None:
    packed = gzip.compress(unpacked, 1)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=f"m is damaged: {why}"):
            shards.parse_manifest(packed, "m", 3)
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**20
    finally:
        tracemalloc.stop()


def test_a_manifest_has_the_rows_of_its_index(data: ShardSet) -> None:
    rows = (data.folder / "test.manifest.csv.gz").read_bytes()
    assert shards.parse_manifest(rows, "m", 55) == data.manifest("test")
    index = data.index.splits["test"]
    fewer = index.model_copy(update={"per_class": [11, 11, 11, 11, 10]})
    splits = {**data.index.splits, "test": fewer}
    other = replace(data, index=data.index.model_copy(update={"splits": splits}))
    with pytest.raises(UserError, match="it has more rows than the 54 of its index"):
        other.manifest("test")


@pytest.mark.parametrize(
    ("counts", "why"),
    [([2**24, 1, 0, 0, 0], "16,777,216 images"), ([-1, 56, 0, 0, 0], "per_class")],
)
def test_an_index_counts_images_that_there_can_be(
    data: ShardSet, counts: list[int], why: str
) -> None:
    path = data.folder / "index.json"
    content = json.loads(path.read_text())
    content["splits"]["test"]["per_class"] = counts
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"index\.json is damaged: .*{why}"):
        shards.read_index(path)


def test_shards_of_another_card_are_refused(data: ShardSet) -> None:
    with pytest.raises(UserError, match="another version of the card"):
        shards.open_set(toy.card(template="a drawing of a {}."), data.folder)


@pytest.mark.parametrize("name", [".", "index.json"])
def test_a_set_that_may_not_be_read_is_named(
    name: str, data: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, data.folder / name)
    with pytest.raises(UserError, match=r"cannot read the index .*index\.json: Permission denied"):
        shards.open_set(data.card, data.folder)
    with pytest.raises(UserError, match=r"cannot read the manifest .*: Permission denied"):
        monkeypatch.undo()
        forbid(monkeypatch, data.folder)
        data.manifest("train")


def test_a_set_that_is_not_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not prepared"):
        shards.open_set(toy.card(), tmp_path)
