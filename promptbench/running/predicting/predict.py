"""Unified inference: one rule for every sample, whatever its dataset, split or shift."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from promptbench.core.method import ClassSet, Method
from promptbench.core.protocol import Shift
from promptbench.core.traits import has_decoupled_inference
from promptbench.data.loader import Batch
from promptbench.errors import UserError
from promptbench.isolation.entering import enter, plain_tensor
from promptbench.models.towers import ImageTower
from promptbench.records.predictions import Table
from promptbench.running.lab.calling import evaluating
from promptbench.running.lab.compute import Compute
from promptbench.running.predicting import probabilities
from promptbench.running.predicting.frozen_features import FrozenFeatures
from promptbench.support.progress import Task

Inference = Literal["unified", "decoupled"]
Rule = Callable[[Tensor, Any], Tensor]


@dataclass
class Predictions:
    """What is kept of a test set, in shard order; `kept` has the columns of `probabilities`.
    `class_seconds` is how long the class side took, which is done once."""

    n_classes: int
    class_seconds: float = field(default=0.0, compare=False)
    keys: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    kept: dict[str, list[float]] = field(default_factory=dict)

    @property
    def predicted(self) -> list[int]:
        """The label given to each image."""
        return list(map(int, self.kept.get("predicted", ())))

    @property
    def table(self) -> Table:
        """The rows of the predictions file."""
        columns: dict[str, Any] = {name: np.array(found) for name, found in self.kept.items()}
        columns |= {"label": np.array(self.labels), "predicted": np.array(self.predicted)}
        return Table(self.keys, columns)


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
    learned: Sequence[int] | None = None,
) -> Predictions:
    """Classify all batches over `classes`; class-side work is done once.

    `learned` are the places of the names that were learned, where others compete with them.
    `features` answers for the image tower where a method asks for frozen features (and collects
    them where they are not known yet).

    Raises:
        UserError: logits of another shape, that hold NaN, or are not a plain tensor.
    """
    enter(method.eval)
    image, title = enter(_image_tower, method), type(method).title
    result = Predictions(len(classes))
    among = _flags(learned, len(classes), compute)
    compute.begin_step()
    started = compute.clock()
    prepared = enter(evaluating, compute, _prepared, method, classes)
    result.class_seconds = compute.clock() - started
    with features or nullcontext():
        for batch, images, labels in compute.placed(batches):
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
            for name, values in _kept(logits, labels, among, title, batch.keys):
                result.kept.setdefault(name, []).extend(values)
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


def _flags(learned: Sequence[int] | None, classes: int, compute: Compute) -> Tensor | None:
    if learned is None:
        return None
    found = torch.zeros(classes, dtype=torch.bool)
    found[list(learned)] = True
    return found.to(compute.device)


def _kept(
    logits: Tensor, labels: Tensor, learned: Tensor | None, title: str, keys: Sequence[str]
) -> Iterator[tuple[str, list[float]]]:
    """The columns of a batch, fetched from the device together with where NaN stands."""
    undefined = logits.isnan().any(dim=-1, keepdim=True)
    numbers = torch.where(undefined, 0.0, logits)
    found = probabilities.of_logits(numbers, labels, learned)
    *columns, nan = torch.cat((found, undefined.float().T)).tolist()
    if any(nan):
        raise UserError(
            f"{title} returned logits that are not a number (NaN) for {int(sum(nan))} of "
            f"{len(keys)} images of a batch, the first is {keys[nan.index(1)]!r}; its training may "
            "have diverged, or the precision is too low for it"
        )
    names = probabilities.NAMES + (() if learned is None else probabilities.OPEN)
    yield from zip(names, columns, strict=True)


def _image_tower(method: Method) -> ImageTower:
    return method.towers.image


def _prepared(method: Method, classes: ClassSet) -> Any:
    return method.prepare(classes)
