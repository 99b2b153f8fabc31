"""Cards, shards and loading: deterministic bytes, damaged files, counts."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from promptbench.data import cards, loader, shards
from promptbench.data.cards import DataCard
from promptbench.data.shards import Item, ShardSet
from promptbench.errors import UserError
from promptbench.protocol import Source, Target
from tests.test_transforms import Target as Normalisation

FACTS: dict[str, Any] = {
    "name": "toy",
    "title": "Toy",
    "suite": "demo",
    "version": 1,
    "template": "a photo of a {}.",
    "description": "",
    "licence": "",
    "citation": "",
    "classes": ["ant", "bee", "cat", "dog", "emu"],
    "splits": {"train": 30, "test": 55},
    "source": {"kind": "generated", "options": {}},
}
TEST_ALL = Target("toy", "all", "none")


def card(**changes: Any) -> DataCard:
    return DataCard.model_validate(FACTS | changes)


def items(count: int, n_classes: int = 5) -> list[Item]:
    """Pictures of one colour each, whose red value is their number."""
    found = []
    for i in range(count):
        file = io.BytesIO()
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(file, "PNG")
        found.append(Item(f"{i:05d}", file.getvalue(), "png", i * n_classes // count))
    return found


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardSet:
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 20)
    return shards.write(card(), tmp_path / "toy", {"train": items(30), "test": items(55)})


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_the_same_input_gives_the_same_bytes(toy: ShardSet, tmp_path: Path) -> None:
    again = shards.write(card(), tmp_path / "again", {"train": items(30), "test": items(55)})
    assert digests(again.folder) == digests(toy.folder)
    assert len(toy.index.splits["test"].shards) == 3
    assert toy.index.splits["test"].per_class == [11] * 5


def test_manifest_is_canonical_and_locates_every_image(toy: ShardSet) -> None:
    originals = items(55)
    entries = toy.manifest("test")
    assert [e.key for e in entries] == [i.key for i in originals]
    assert all(toy.read(e) == i.image for e, i in zip(entries, originals, strict=True))


def test_streaming_gives_every_sample_once(toy: ShardSet) -> None:
    streamed = list(toy.stream("test"))
    assert sorted(i.key for i in streamed) == [i.key for i in items(55)]
    assert [i.key for i in streamed] != sorted(i.key for i in streamed)  # shuffled once, at writing


@pytest.mark.parametrize("workers", range(5))
def test_batches_do_not_depend_on_workers(toy: ShardSet, workers: int) -> None:
    batches = list(loader.test_batches(toy, TEST_ALL, Normalisation(), workers, None))
    keys = [key for batch in batches for key in batch.keys]
    assert keys == [item.key for item in toy.stream("test")]
    assert sum(len(batch.labels) for batch in batches) == 55


def test_halves_are_relabelled(toy: ShardSet) -> None:
    new = Target("toy", "new", "classes")
    (batch,) = loader.test_batches(toy, new, Normalisation(), 0, None)
    assert sorted(set(batch.labels.tolist())) == [0, 1]
    assert loader.class_names(toy, "new") == ("dog", "emu")
    assert loader.n_test_samples(toy, new, None) == 22
    assert loader.n_test_samples(toy, new, 5) == 5


def test_few_shot_set_is_sampled_before_the_halves(toy: ShardSet) -> None:
    whole = loader.few_shot_set(toy, Source("toy", "all", 4), 1)
    base = loader.few_shot_set(toy, Source("toy", "base", 4), 1)
    assert len(whole) == 20 and base.class_names == ("ant", "bee", "cat")
    assert [i.key for i in base.items] == [i.key for i in whole.items if i.label < 3]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 3))
def test_epochs_drop_the_incomplete_batch(count: int, batch_size: int, number: int) -> None:
    few = loader.FewShotSet(tuple(items(count)), ("a", "b", "c", "d", "e"))
    epoch = few.epoch(
        number,
        seed=1,
        batch_size=batch_size,
        target=Normalisation(size=4),
        crop_scale=(0.5, 1.0),
        flip=0.5,
        workers=0,
    )
    keys = [key for batch in epoch for key in batch.keys]
    expected = count // batch_size * batch_size if count >= batch_size else count
    assert len(keys) == len(set(keys)) == expected


def test_a_damaged_shard_is_named(toy: ShardSet) -> None:
    path = toy.folder / "test-000001.tar"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"test-000001\.tar|shards hold"):
        list(loader.test_batches(toy, TEST_ALL, Normalisation(), 2, None))


def test_a_missing_shard_is_named(toy: ShardSet) -> None:
    (toy.folder / "test-000002.tar").unlink()
    with pytest.raises(UserError, match=r"test-000002\.tar is missing"):
        list(toy.stream("test"))


def test_a_broken_image_is_named_with_its_shard(tmp_path: Path) -> None:
    broken = [*items(54), Item("broken", b"\x89PNG nothing", "png", 4)]
    data = shards.write(card(), tmp_path / "toy", {"train": items(30), "test": broken})
    with pytest.raises(UserError, match=r"sample broken of shard test-000000\.tar"):
        list(loader.test_batches(data, TEST_ALL, Normalisation(), 2, None))


def test_counts_must_be_the_cards(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its card says 55"):
        shards.write(card(), tmp_path / "toy", {"train": items(30), "test": items(54)})
    assert not list(tmp_path.iterdir())  # nothing half-written stays


def test_shards_of_another_card_are_refused(toy: ShardSet) -> None:
    with pytest.raises(UserError, match="another version of the card"):
        shards.open_set(card(template="a drawing of a {}."), toy.folder)


def test_a_set_that_is_not_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not prepared"):
        shards.open_set(card(), tmp_path)


@pytest.mark.parametrize("name", cards.names())
def test_every_card_holds(name: str) -> None:
    found = cards.load(name)
    assert found.name == name and len(set(found.classes)) == len(found.classes)
    assert found.description and found.licence and found.citation


def test_wrong_cards_name_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('name = "wrong"\ntemplate = "none"\n')
    with pytest.raises(UserError, match=r"wrong\.toml: title"):
        cards.read(path)
    path.write_text("name = ")
    with pytest.raises(UserError, match="not valid TOML"):
        cards.read(path)
