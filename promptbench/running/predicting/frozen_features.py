"""Frozen image features of a test set, computed once per machine.

Cells whose method leaves the image tower as it is (zero-shot, CoOp, KgCoOp, a linear probe) read
the same features of a target's images. Whoever asks the image tower for unedited features takes
part: `predict` announces a batch, the tower answers from what is known, and a pass in which all
batches were asked for is written to the cache, under a hash of everything that determines the
features. What is written was computed outside the method, which may change what it is given. Of
several processes that need the same features one computes them while the others wait.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Self

import torch
from torch import Tensor

from promptbench.core import source_code
from promptbench.core.class_sets import spelled
from promptbench.core.protocol import Target
from promptbench.data.shards.shards import ShardSet
from promptbench.errors import UserError
from promptbench.models.backbones.loading import Backbone
from promptbench.models.towers import ImageTower, Tokens
from promptbench.running.lab.compute import Compute
from promptbench.running.predicting.feature_cache import FeatureCache
from promptbench.storage import leases
from promptbench.support import version
from promptbench.support.transfer import sent


def _trust() -> None:
    """Vouch for towers that nobody else has in hand."""


class FrozenFeatures:
    """The frozen features of one target's images, in their order: known, or being collected.

    A context: whoever collects holds the lease of the features until the block ends. `vouch` raises
    if the towers are not those any more that the key speaks of.
    """

    def __init__(
        self, cache: FeatureCache, key: str, count: int, vouch: Callable[[], None] = _trust
    ) -> None:
        self._cache, self._key, self._vouch = cache, key, vouch
        self._known = cache.get(key, count)
        self._collected: list[Tensor] | None = []
        self._place, self._count = 0, count
        self._claim = ExitStack()
        self._announced: tuple[ImageTower, Tensor]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._claim.close()

    def announce(self, tower: ImageTower, images: Tensor) -> Tokens:
        """The tokens of the next batch, with their features where they are known."""
        tokens = tower.tokens(images)
        if self._known is not None:
            rows = self._known[self._place : self._place + len(images)]
            tokens.pooled = sent(rows, images.device)
        elif self._collected:
            self._collect(tower, tokens)
        self._announced = tower, images
        self._place += len(images)
        return tokens

    def note(self, tokens: Tokens) -> None:
        """Begin to collect if the tower was asked for the first batch's features.

        That batch shows whether the method takes part; its features are computed again, and those
        of later batches before the method is asked. If another process is collecting the same
        features, it is waited for, and they are known from the second batch on.
        """
        if tokens.pooled is None:
            self._collected = None
            self._claim.close()
            return
        if self._known is not None or self._collected is None or self._collected:
            return
        self._begin(tokens.pooled)
        if self._collected is not None:
            tower, images = self._announced
            tower.forget()
            self._collect(tower, tower.tokens(images))

    def _collect(self, tower: ImageTower, tokens: Tokens) -> None:
        if self._collected is not None:
            self._collected.append(tower.features(tokens).clone())

    def _begin(self, first: Tensor) -> None:
        if not self._cache.takes(first.element_size() * self._count * first.shape[-1]):
            self._collected = None
            return
        try:
            self._claim.enter_context(leases.held(self._cache.lease(self._key)))
        except UserError as error:
            self._cache.unwritable(error)
        self._known = self._cache.get(self._key, self._count)
        if self._known is not None:
            self._collected = None
            self._claim.close()

    def finish(self) -> None:
        """Store a complete collection.

        Raises:
            UserError: the towers were changed meanwhile.
        """
        if self._collected and self._known is None:
            features = torch.cat(self._collected)
            if len(features) == self._count:
                self._vouch()
                self._cache.put(self._key, features.cpu())


def of_target(
    backbone: Backbone,
    data: ShardSet,
    target: Target,
    compute: Compute,
    count: int,
    batch: int,
    vouch: Callable[[], None] = _trust,
) -> FrozenFeatures:
    """The frozen features of a target's first `count` images, computed `batch` at a time.

    `vouch` raises if the backbone is not as it was loaded any more.
    The order of sums hangs on the processor, its threads and the batch, as the last bits do.
    """
    facts = {
        **_computed_by(backbone, compute, batch),
        "data": [data.card.name, data.card.digest, data.index.digest],
        "shards": data.index.splits[target.split].shards,  # the bytes: no others are read
        "images": [target.split, spelled(target.classes, target.labels), count],
    }
    return FrozenFeatures(FeatureCache(), _digest(facts), count, vouch)


def of_images(
    backbone: Backbone,
    images_sha256: str,
    compute: Compute,
    count: int,
    batch: int,
    vouch: Callable[[], None] = _trust,
) -> FrozenFeatures:
    """The frozen features of encoded images under the test transform, which their hash names, in
    their order; else as `of_target`."""
    facts = {**_computed_by(backbone, compute, batch), "images": [images_sha256, count]}
    return FrozenFeatures(FeatureCache(), _digest(facts), count, vouch)


def _computed_by(backbone: Backbone, compute: Compute, batch: int) -> dict[str, Any]:
    """What determines features beside the images."""
    return {
        "version": [version.__version__, torch.__version__],
        "code": source_code.of_training(),  # towers that compute otherwise have other features
        "backbone": [backbone.name, backbone.sha256, asdict(backbone.preprocess)],
        "precision": compute.precision,
        "device": [compute.device_name, torch.get_num_threads(), batch],
    }


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
