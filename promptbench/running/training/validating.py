"""Measuring a method on its validation images in the middle of its training, without a trace."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from promptbench.core.method import ClassSet, Method
from promptbench.data import validation
from promptbench.data.images.kept import under_test_transform
from promptbench.data.loader import EVAL_BATCH, FewShotSet
from promptbench.isolation.entering import enter, learnables
from promptbench.planning.cells import Cell
from promptbench.running.lab import Lab
from promptbench.running.predicting import frozen_features
from promptbench.running.predicting.predict import predict, rule_of
from promptbench.running.training.augmenting import room_for_images
from promptbench.support.progress import Task
from promptbench.support.seeding import seeded


class Validator:
    """The validation images of a cell, and the accuracy of its method on them.

    Labels meet what a method answers, never the method. `seconds` is what all measuring took.
    """

    def __init__(self, cell: Cell, lab: Lab, method: Method, classes: ClassSet) -> None:
        source = cell.leg.source
        self._cell, self._lab, self._method, self._classes = cell, lab, method, classes
        self._images: FewShotSet = validation.validation_set(
            lab.data[source.dataset], source, cell.seed
        )
        digest = hashlib.sha256()
        for item in self._images.items:
            digest.update(hashlib.sha256(item.image).digest())
        self._sha256 = digest.hexdigest()
        self._levels = under_test_transform(lab.backbone.preprocess, room_for_images(lab))
        self.seconds = 0.0

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the images, in sampled order."""
        return tuple(item.key for item in self._images.items)

    def accuracy(self, epoch: int, averaged: Mapping[str, Tensor] | None = None) -> float:
        """Measure the method as it is after an epoch, from 0, by its unified rule, in percent.

        Args:
            averaged: learnables that are scored in place of the method's, as after the last epoch.
        """
        started = time.perf_counter()
        method, lab = self._method, self._lab
        training = method.training
        batches = self._images.plain(lab.backbone.preprocess, lab.workers, self._levels)
        rule = rule_of(method, "unified", "none")
        with (
            lab.backbone.towers.apart(),
            seeded(self._cell.seed, "validation", epoch),
            _holding(method, averaged or {}),
        ):
            frozen = frozen_features.of_images(
                lab.backbone,
                self._sha256,
                lab.compute,
                len(self._images),
                EVAL_BATCH,
                lab.keeper.refuse_changed,
            )
            found = predict(method, self._classes, batches, rule, lab.compute, Task(), frozen)
        enter(method.train, training)
        pairs = zip(found.labels, found.predicted, strict=True)
        right = sum(label == predicted for label, predicted in pairs)
        self.seconds += time.perf_counter() - started
        return 100 * right / len(found.labels)


@contextmanager
@torch.no_grad()
def _holding(method: Method, averaged: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside the block the method's learnables have the values that are given for them."""
    own = {name: value for name, value in learnables(method) if name in averaged}
    before = {name: value.detach().clone() for name, value in own.items()}
    for name, value in own.items():
        value.copy_(averaged[name])
    try:
        yield
    finally:
        for name, value in own.items():
            value.copy_(before[name])
