"""How well a model names the demo's test images without any training."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from promptbench.data.cards.cards import DataCard
from promptbench.demo import generate
from promptbench.pretraining.batches import CaptionEncoder, normalised
from promptbench.pretraining.stages import image_features, text_features


def drawn_images(card: DataCard, per_class: int) -> tuple[Tensor, Tensor]:
    """The test images, float32 [n, 3, 32, 32], and their labels, int64 [n]."""
    drawn = generate.samples(card.source.options, card.classes, "test", per_class)
    pixels, labels = zip(*((_pixels(content), label) for _, content, label in drawn), strict=True)
    return normalised(np.stack(pixels)), torch.tensor(labels)


def _pixels(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)))


@torch.no_grad()
def accuracies(
    model: Any, encoder: CaptionEncoder, card: DataCard, share: float = 1.0
) -> dict[str, float]:
    """Top-1 accuracy in percent among all classes, and within the base and the new half.

    Args:
        share: of the test images of each class that are looked at.
    """
    per_class = max(1, round(share * card.splits["test"] / len(card.classes)))
    images, labels = drawn_images(card, per_class)
    features = torch.cat([image_features(model, chunk) for chunk in images.split(256)])
    texts = encoder.texts([card.template.format(name) for name in card.classes])
    logits = features @ text_features(model, texts).T
    middle = math.ceil(len(card.classes) / 2)
    halves = {
        "all": range(len(card.classes)),
        "base": range(middle),
        "new": range(middle, len(card.classes)),
    }
    return {name: _accuracy(logits, labels, classes) for name, classes in halves.items()}


def _accuracy(logits: Tensor, labels: Tensor, classes: range) -> float:
    """Percent correct among the images of `classes`, when only those may be named."""
    inside = (labels >= classes.start) & (labels < classes.stop)
    named = logits[inside][:, classes.start : classes.stop].argmax(dim=1) + classes.start
    return 100 * (named == labels[inside]).double().mean().item()


def table(rows: Iterable[tuple[str, dict[str, float]]]) -> str:
    """Accuracies as a Markdown table, one row per dataset."""
    lines = ["| dataset | all | base | new |", "| --- | ---: | ---: | ---: |"]
    for name, scores in rows:
        lines.append(f"| {name} | " + " | ".join(f"{v:.1f}" for v in scores.values()) + " |")
    return "\n".join(lines)
