"""Augmentation on the device: the host's batches, from images decoded once while there is room."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from promptbench.data.images import resident, transforms
from promptbench.data.images.augmentation import Augment, Augmentation
from promptbench.data.images.levels import values_of
from promptbench.data.images.pictures import decoded
from promptbench.data.images.resident import OnDevice
from promptbench.data.loader import Batch, FewShotSet
from promptbench.data.shards.shards import Item
from promptbench.errors import UserError
from tests.data.test_pixels import CLIP, alpha, cmyk, exact, gray, odd, palette, pixel, tall, wide
from tests.data.toy import entered, png

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]
CPU = torch.device("cpu")
PLENTY = 2**30
GIVEN = Augmentation(CLIP, (0.08, 1.0), 0.5)


@pytest.fixture(scope="module")
def shots() -> FewShotSet:
    pictures = (alpha(), cmyk(), exact(), gray(), odd(), palette(), pixel(), tall(), wide())
    items = tuple(Item(f"{i}", image, i % 2) for i, image in enumerate(pictures))
    return FewShotSet(items, ("even", "odd"))


def epoch(
    shots: FewShotSet, augment: Augment, number: int = 0, workers: int = 0, first: int = 0
) -> Iterator[Batch]:
    return shots.epoch(number, first=first, seed=3, batch_size=2, augment=augment, workers=workers)


def same(ours: Iterator[Batch], theirs: Iterator[Batch]) -> int:
    """Assert that batches are equal in every bit; how many there are."""
    pairs = list(zip(ours, theirs, strict=True))
    for a, b in pairs:
        assert a.keys == b.keys and torch.equal(a.labels, b.labels)
        assert a.images.dtype == b.images.dtype == torch.float32
        assert torch.equal(a.images.cpu(), b.images.cpu())
    return len(pairs)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("room", [0, 400_000, PLENTY])
def test_batches_are_the_hosts_for_any_room(shots: FewShotSet, device: str, room: int) -> None:
    augment = OnDevice(GIVEN, torch.device(device), room)
    for number in range(3):
        assert same(epoch(shots, augment, number), epoch(shots, GIVEN.on_host, number)) == 4
    (batch, *_) = epoch(shots, augment)
    assert batch.images.device.type == device


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_mirrored_or_not(shots: FewShotSet, flip: float) -> None:
    given = Augmentation(CLIP, (0.5, 1.0), flip)
    assert same(epoch(shots, OnDevice(given, CPU, PLENTY)), epoch(shots, given.on_host)) == 4


def test_the_kernel_is_the_hosts(shots: FewShotSet) -> None:
    given = replace(GIVEN, target=replace(CLIP, interpolation="bilinear", resize_mode="squash"))
    assert same(epoch(shots, OnDevice(given, CPU, PLENTY)), epoch(shots, given.on_host)) == 4


def test_workers_do_not_matter(shots: FewShotSet) -> None:
    several = OnDevice(GIVEN, CPU, PLENTY)
    for number in range(2):
        alone = epoch(shots, OnDevice(GIVEN, CPU, PLENTY), number)
        assert same(epoch(shots, several, number, workers=3), alone) == 4


def test_an_epoch_resumes_at_a_batch(shots: FewShotSet) -> None:
    rest = epoch(shots, OnDevice(GIVEN, CPU, PLENTY), 1, first=2)
    assert same(rest, itertools.islice(epoch(shots, GIVEN.on_host, 1), 2, None)) == 2


@pytest.mark.parametrize(("room", "times"), [(PLENTY, 1), (0, 3)])
def test_images_are_decoded_once_where_there_is_room(
    shots: FewShotSet, monkeypatch: pytest.MonkeyPatch, room: int, times: int
) -> None:
    asked: list[str] = []

    def counted(item: Item) -> Image.Image:
        asked.append(item.key)
        return decoded(item)

    monkeypatch.setattr(resident, "decoded", counted)
    augment = OnDevice(GIVEN, CPU, room)
    for _ in range(3):
        augment(shots.items, [np.random.default_rng(i) for i in range(len(shots))])
    assert {key: asked.count(key) for key in asked} == dict.fromkeys(
        (item.key for item in shots.items), times
    )


@pytest.mark.parametrize("room", [0, 3 * 224 * 224, 500_000, PLENTY])
def test_the_room_is_kept(shots: FewShotSet, room: int) -> None:
    augment = OnDevice(GIVEN, CPU, room)
    list(epoch(shots, augment, workers=3))
    list(epoch(shots, augment, number=1, workers=3))
    assert augment.kept_bytes <= room
    assert bool(augment.kept_bytes) == bool(room)


def test_a_broken_image_is_named() -> None:
    items = (Item("good", png(1), 0), Item("bad", b"no picture", 1, "train-000000.tar"))
    broken = FewShotSet(items, ("a", "b"))
    with pytest.raises(UserError, match=r"sample bad of shard train-000000\.tar cannot be decoded"):
        list(epoch(broken, OnDevice(GIVEN, CPU, PLENTY)))


def test_values_are_those_of_the_test_transform() -> None:
    levels = np.arange(256, dtype=np.uint8)
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[0, :], pixels[1, :32] = levels[:224, None], levels[224:, None]
    image = entered(transforms.for_testing, Image.fromarray(pixels), CLIP)
    produced = torch.cat([image[:, 0], image[:, 1, :32]], 1)
    assert torch.equal(values_of(CLIP), produced)
