"""Passes decode each image once, and see the pixels of their own shard and transform."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from promptbench.data import loader
from promptbench.data.decoded import keys, reading
from promptbench.data.decoded.folder import Folder
from promptbench.data.images import transforms
from promptbench.data.shards.shards import Item, ShardSet
from promptbench.data.web.downloading import Expected
from promptbench.errors import UserError
from promptbench.storage import leases
from tests.data import toy
from tests.data.decoded.passes import ALL, BASE, NEW, SLOT, SMALL, cache, kept, noisy, seen


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


def test_nothing_is_said_where_all_is_well(data: ShardSet) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            seen(data, workers=2)
