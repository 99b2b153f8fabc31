"""Several views of each image: which augmentation each has, its stream, and where it is made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from promptbench.core.recipe import Recipe, View
from promptbench.data.images import transforms
from promptbench.data.images.levels import normalised, stacked
from promptbench.data.images.pictures import decoded
from promptbench.data.images.randaugment import randomised
from promptbench.data.loader import FewShotSet
from promptbench.data.shards.shards import Item
from promptbench.running.training.augmenting import augment_of
from promptbench.support.seeding import generator
from tests.data.test_pixels import CLIP, exact, gray, odd, tall, wide
from tests.data.toy import entered

SIZE = CLIP.size


@pytest.fixture(scope="module")
def shots() -> FewShotSet:
    pictures = (exact(), gray(), odd(), tall(), wide())
    items = tuple(Item(f"{i}", image, i % 2) for i, image in enumerate(pictures))
    return FewShotSet(items, ("even", "odd"))


def images(shots: FewShotSet, *views: View, augment: str = "host", workers: int = 0) -> Tensor:
    """The images of an epoch, in the order of its batches."""
    lab: Any = SimpleNamespace(
        augment=augment,
        compute=SimpleNamespace(device=torch.device("cpu")),
        backbone=SimpleNamespace(preprocess=CLIP),
        processes=1,
    )
    made = augment_of(Recipe(views=views), lab)
    epoch = shots.epoch(1, seed=3, batch_size=2, augment=made, workers=workers)
    return torch.cat([batch.images for batch in epoch])


def test_one_view_has_no_dimension_of_its_own_and_the_first_draws_as_if_alone(
    shots: FewShotSet,
) -> None:
    alone = images(shots, "crop")
    assert alone.shape == (4, 3, SIZE, SIZE)
    several = images(shots, "crop", "crop", "plain")
    assert several.shape == (4, 3, 3, SIZE, SIZE)
    assert torch.equal(several[:, 0], alone)
    assert not any(torch.equal(a, b) for a, b in several[:, :2].unbind())


def test_two_views_of_one_kind_are_two_draws_of_one_pipeline(shots: FewShotSet) -> None:
    """RandAugment of the image after both sides are resized, without crop and flip."""
    found = images(shots, "randaugment", "randaugment")
    order = generator(3, "order", 1).permutation(len(shots))[:4].tolist()
    for views, place in zip(found, order, strict=True):
        rng = generator(3, "augment", 1, place)
        streams = (rng, *rng.spawn(1))
        whole = transforms.resized(decoded(shots.items[place]), CLIP, (SIZE, SIZE))
        for view, stream in zip(views, streams, strict=True):
            made = np.asarray(randomised(whole, 2, 10, stream)).transpose(2, 0, 1)
            expected = normalised(stacked([made]), CLIP)[0]
            assert torch.equal(view, expected)
    assert sum(torch.equal(a, b) for a, b in found.unbind()) < 4


def test_a_plain_view_is_the_test_transform(shots: FewShotSet) -> None:
    order = generator(3, "order", 1).permutation(len(shots))[:4].tolist()
    for view, place in zip(images(shots, "plain"), order, strict=True):
        assert torch.equal(view, entered(transforms.for_testing, decoded(shots.items[place]), CLIP))


@pytest.mark.parametrize("augment", ["host", "device"])
@pytest.mark.parametrize("workers", [0, 3])
def test_neither_workers_nor_the_place_change_a_pixel(
    shots: FewShotSet, augment: str, workers: int
) -> None:
    every: Any = get_args(View)
    expected = images(shots, *every, "crop")
    assert torch.equal(images(shots, *every, "crop", augment=augment, workers=workers), expected)
