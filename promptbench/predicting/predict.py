"""Unified inference: one rule for every sample, whatever its data set, split or shift."""

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

from promptbench.data.loader import Batch
from promptbench.errors import UserError
from promptbench.isolation import isolated
from promptbench.lab.calling import evaluating
from promptbench.lab.compute import Compute
from promptbench.method import ClassSet, Decoupled, Method, Shift
from promptbench.predicting.frozen_features import FrozenFeatures
from promptbench.progress import Task
from promptbench.storage.files import write_whole

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
        """A gzipped CSV (key, label, predicted) whose bytes depend on the predictions alone."""
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
        return method.logits
    if not isinstance(method, Decoupled):
        raise UserError(f"{method.title} has no decoupled inference; drop --inference decoupled")
    return partial(method.logits_decoupled, shift=shift)


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
        UserError: logits of another shape, or that hold NaN.
    """
    method.eval()
    image = method.towers.image
    result = Predictions(len(classes))
    compute.begin_step()
    prepared = isolated(evaluating, compute, method.prepare, classes)
    with features or nullcontext():
        for batch, images, _ in compute.placed(batches):
            compute.begin_step()
            if features is not None:
                tokens = evaluating(compute, features.announce, image, images)
            logits: Tensor = isolated(evaluating, compute, rule, images, prepared)
            _refuse_misshapen(logits, method, len(batch.keys), len(classes))
            if features is not None:
                evaluating(compute, features.note, tokens)
            result.keys += batch.keys
            result.labels += batch.labels.tolist()
            result.predicted += _top1(logits, method, batch.keys)
            task.advance(len(batch.keys))
        if features is not None:
            features.finish()
    return result


def _refuse_misshapen(logits: Tensor, method: Method, images: int, classes: int) -> None:
    if logits.shape != (images, classes):
        raise UserError(
            f"{method.title} returned logits of shape {tuple(logits.shape)} for {images} images "
            f"and {classes} classes"
        )


def _top1(logits: Tensor, method: Method, keys: Sequence[str]) -> list[int]:
    """The predicted labels of a batch, fetched from the device together with where NaN stands."""
    undefined = logits.isnan().any(dim=-1)
    predicted: list[int]
    predicted, nan = torch.stack((logits.argmax(dim=-1), undefined.long())).tolist()
    if any(nan):
        raise UserError(
            f"{method.title} returned logits that are not a number (NaN) for {sum(nan)} of "
            f"{len(keys)} images of a batch, the first is {keys[nan.index(1)]!r}; its training may "
            "have diverged, or the precision is too low for it"
        )
    return predicted
