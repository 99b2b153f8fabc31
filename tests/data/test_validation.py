"""Few-shot validation sets: where their images come from, and which."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptbench.core.protocol import Source
from promptbench.data import fewshot, validation
from promptbench.data.cards import cards
from promptbench.data.layouts.generated import GeneratedSource
from promptbench.data.loader import few_shot_set
from promptbench.data.shards import store
from promptbench.data.shards.shards import ShardSet
from promptbench.tracking import Listener
from tests.data import toy

SEED = 3


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """A dataset with a validation split, whose images differ from all others."""
    parts = {"train": 40, "val": 35, "test": 40}
    given = toy.Memory({s: toy.rows(n, first=60 * i) for i, (s, n) in enumerate(parts.items())})
    return toy.write(tmp_path_factory.mktemp("toy"), given, splits=parts)


@pytest.mark.parametrize(("classes", "labels"), [("all", range(5)), ("base", range(3))])
@pytest.mark.parametrize("shots", [1, 2, 16])
def test_it_is_drawn_over_all_classes_and_then_cut_to_those_that_are_learned(
    shards: ShardSet, classes: str, labels: range, shots: int
) -> None:
    source = Source("toy", classes, shots)
    found = validation.validation_set(shards, source, SEED)
    train, val = (shards.manifest(split) for split in ("train", "val"))
    each = min(shots, 4)
    drawn = fewshot.sample_held_out(
        [e.label for e in train], [e.label for e in val], shots, each, SEED
    )
    wanted = [val[i] for i in drawn if val[i].label in labels]
    assert [item.key for item in found.items] == [entry.key for entry in wanted]
    assert [item.label for item in found.items] == [entry.label for entry in wanted]
    assert len(found) == each * len(labels)
    assert [item.image for item in found.items] == [shards.read(entry) for entry in wanted]
    assert found.class_names == few_shot_set(shards, source, SEED).class_names


def test_the_draw_goes_on_from_that_of_the_training_set() -> None:
    labels = [number % 4 for number in range(60)]
    found = {shots: fewshot.sample_held_out(labels, labels, shots, 4, SEED) for shots in (4, 5, 16)}
    assert len(set(map(tuple, found.values()))) == 3


def test_a_dataset_without_a_validation_split_has_none(tmp_path: Path) -> None:
    data = toy.write(tmp_path / "toy")
    toy.refused("no validation images of its base classes", validation.validation_set,
                data, Source("toy", "base", 1), SEED)  # fmt: skip
    assert validation.counts(cards.load("imagenet"), None) is None


def test_generated_datasets_draw_theirs_and_stay_as_they_are() -> None:
    card, source = cards.load("counts"), Source("counts", "base", 16)
    data = store.provide("counts", None, Listener())
    assert set(data.index.splits) == {"train", "test"} == set(card.splits)
    found = validation.validation_set(data, source, SEED)
    assert len(found) == 8 and {item.label for item in found.items} == {0, 1}
    assert validation.counts(card, None) == [16] * 4
    seen = {item.image for split in card.splits for item in data.stream(split)}
    assert not seen & {item.image for item in found.items}
    again = validation.validation_set(data, source, SEED)
    other = validation.validation_set(data, source, SEED + 1)
    assert again == found != other
    assert GeneratedSource(card).samples("extra") == []
