"""Unified inference: one rule for every sample, whatever its dataset, split or shift."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from promptbench.core.method import ClassSet, Method, Shift, has_decoupled_inference
from promptbench.data.loader import Batch
from promptbench.errors import UserError
from promptbench.isolation.entering import enter, plain_tensor
from promptbench.models.towers import ImageTower
from promptbench.running.lab.calling import evaluating
from promptbench.running.lab.compute import Compute
from promptbench.running.predicting.frozen_features import FrozenFeatures
from promptbench.storage.files import write_whole
from promptbench.support.progress import Task

Inference = Literal["unified", "decoupled"]
Rule = Callable[[Tensor, Any], Tensor]


@dataclass
class Predictions:
    """Top-1 predictions of a test set, in shard order."""

    n_classes: int
    keys: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    predicted: list[int] = field(default_factory=list)

    def correct_per_class(self) -> list[int]:
        """Correct predictions of each label."""
        counts = [0] * self.n_classes
        for label, predicted in zip(self.labels, self.predicted, strict=True):
            counts[label] += label == predicted
        return counts

    def total_per_class(self) -> list[int]:
        """Samples of each label."""
        counts = [0] * self.n_classes
        for label in self.labels:
            counts[label] += 1
        return counts

    def write(self, path: Path) -> None:
        """A gzipped CSV (key, label, predicted) whose bytes depend only on the predictions."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("key", "label", "predicted"))
        rows.writerows(zip(self.keys, self.labels, self.predicted, strict=True))
        data = gzip.compress(text.getvalue().encode(), mtime=0)
        write_whole(path, data)


def rule_of(method: Method, inference: Inference, shift: Shift) -> Rule:
    """The inference rule: the method's unified `logits`, or its paper's decoupled variant.

    Raises:
        UserError: decoupled inference of a method that has none.
    """
    if inference == "unified":
        return partial(_unified, method)
    cls = type(method)
    if not has_decoupled_inference(cls):
        raise UserError(f"{cls.title} has no decoupled inference; drop --inference decoupled")
    return partial(_decoupled, method, shift)


def _unified(method: Method, images: Tensor, prepared: Any) -> Tensor:
    return method.logits(images, prepared)


def _decoupled(method: Any, shift: Shift, images: Tensor, prepared: Any) -> Tensor:
    found: Tensor = method.logits_decoupled(images, prepared, shift=shift)
    return found


def predict(
    method: Method,
    classes: ClassSet,
    batches: Iterable[Batch],
    rule: Rule,
    compute: Compute,
    task: Task,
    features: FrozenFeatures | None = None,
) -> Predictions:
    """Classify all batches over `classes`; class-side work is done once.

    `features` answers for the image tower where a method asks for frozen features (and collects
    them where they are not known yet).

    Raises:
        UserError: logits of another shape, that hold NaN, or are not a plain tensor.
    """
    enter(method.eval)
    image, title = enter(_image_tower, method), type(method).title
    result = Predictions(len(classes))
    compute.begin_step()
    prepared = enter(evaluating, compute, _prepared, method, classes)
    with features or nullcontext():
        for batch, images, _ in compute.placed(batches):
            compute.begin_step()
            if features is not None:
                tokens = evaluating(compute, features.announce, image, images)
            # Plain before labels are near: a subclass would run its code wherever it is used.
            logits = plain_tensor(
                enter(evaluating, compute, rule, images, prepared), f"{title}'s result"
            )
            _refuse_misshapen(logits, title, len(batch.keys), len(classes))
            if features is not None:
                evaluating(compute, features.note, tokens)
            result.keys += batch.keys
            result.labels += batch.labels.tolist()
            result.predicted += _top1(logits, title, batch.keys)
            task.advance(len(batch.keys))
        if features is not None:
            features.finish()
    return result


def _refuse_misshapen(logits: Tensor, title: str, images: int, classes: int) -> None:
    if logits.shape != (images, classes):
        raise UserError(
            f"{title} returned logits of shape {tuple(logits.shape)} for {images} images "
            f"and {classes} classes"
        )


def _top1(logits: Tensor, title: str, keys: Sequence[str]) -> list[int]:
    """The predicted labels of a batch, fetched from the device together with where NaN stands."""
    undefined = logits.isnan().any(dim=-1)
    predicted: list[int]
    predicted, nan = torch.stack((logits.argmax(dim=-1), undefined.long())).tolist()
    if any(nan):
        raise UserError(
            f"{title} returned logits that are not a number (NaN) for {sum(nan)} of "
            f"{len(keys)} images of a batch, the first is {keys[nan.index(1)]!r}; its training may "
            "have diverged, or the precision is too low for it"
        )
    return predicted


def _image_tower(method: Method) -> ImageTower:
    return method.towers.image


def _prepared(method: Method, classes: ClassSet) -> Any:
    return method.prepare(classes)
