"""What the benchmarks run on: a CLIP with random weights, ImageNet's class names, random images."""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.work import synchronise
from promptbench.contract.towers import tiny_towers
from promptbench.core.method import ClassSet, Method, Starter
from promptbench.core.registry import METHODS
from promptbench.models.backbones import architecture, load_tokenizer
from promptbench.models.towers import Towers
from promptbench.running.lab.calling import built, learning
from promptbench.running.lab.compute import Compute
from promptbench.support.compat import import_open_clip
from promptbench.support.seeding import seeded

BACKBONE = "ViT-B-16-quickgelu"
TEMPLATE = "a photo of a {}."
TINY = "tiny"  # in place of a backbone's name, for trials of the benchmarks themselves


def add_machine(parser: argparse.ArgumentParser, repeats: int, threads: int) -> None:
    """The options of what is measured, and where, with their usual values."""
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--threads", type=int, default=threads, help="of the CPU")


@dataclass(frozen=True)
class Setting:
    """A method on a backbone, and a batch."""

    method: Method
    images: Tensor
    labels: Tensor

    @property
    def towers(self) -> Towers:
        return self.method.towers

    @property
    def viewed(self) -> Tensor:
        """The batch as the method's losses are given it: with several views [n, views, ...]."""
        views = type(self.method).views
        return self.images if views == 1 else torch.stack([self.images] * views, dim=1)

    def shown(self) -> list[tuple[Tensor, Tensor]]:
        """Images of all classes as a method is shown all training images at once: those of the
        batch in turn, in batches of its size."""
        n, batch = len(self.method.classes), len(self.images)
        labels = torch.arange(n, device=self.labels.device).split(batch)
        once = [(self.images[: len(some)].clone(), some) for some in labels]
        return once * max(self.method.passes, 1)

    @property
    def image_tokens(self) -> int:
        """CLS and patches of an image."""
        return len(self.towers.model.visual.positional_embedding)


def class_set(count: int) -> ClassSet:
    """The first names of ImageNet in CLIP's wording; beyond the thousandth, numbered again."""
    names = import_open_clip().IMAGENET_CLASSNAMES
    wanted = [
        names[i % len(names)] + (f" {i // len(names)}" if i >= len(names) else "")
        for i in range(count)
    ]
    texts = tuple((f"a {name} seen from far away.",) for name in wanted)  # for whom uses them
    return ClassSet(tuple(wanted), TEMPLATE, texts)


def random_towers(backbone: str, compute: Compute) -> Towers:
    """Towers with random weights and CLIP's logit scale; `TINY` are those of the contract."""
    if backbone == TINY:
        towers = tiny_towers()
        towers.model.to(compute.device)
        return _cast(towers, compute)
    with seeded(0, "benchmark"), compute.device:  # drawn there, which takes a GPU no time
        model = import_open_clip().model.CLIP(**architecture(backbone))
    model.logit_scale.data.fill_(math.log(100))
    towers = Towers(model.to(compute.device), load_tokenizer(backbone))
    return _cast(towers, compute)


def _cast(towers: Towers, compute: Compute) -> Towers:
    if compute.dtype != torch.float32:
        towers.cast(compute.dtype)
    return towers


def setting(
    name: str,
    backbone: str,
    classes: int,
    batch: int,
    compute: Compute,
    towers: Towers | None = None,
) -> Setting:
    """A method of the registry at its defaults, with a random batch; on new towers by default."""
    towers = random_towers(backbone, compute) if towers is None else towers
    tiny = backbone == TINY
    size = 16 if tiny else architecture(backbone)["vision_cfg"]["image_size"]
    with seeded(0, "method"):
        method = built(compute, METHODS.load(name).cls, towers, class_set(classes))
        images = torch.randn(batch, 3, size, size).to(compute.device)
        labels = torch.randint(classes, (batch,)).to(compute.device)
        now = Setting(method, images, labels)
        if isinstance(method, Starter):
            learning(compute, method.start_from, now.shown())
    return now


def alternating(
    functions: Sequence[Callable[[], Any]], repeats: int, device: torch.device
) -> list[list[float]]:
    """Milliseconds of every call: A, B, A, B, ..., so that both meet the same disturbances.

    On a CPU with one thread the process's own time counts, which other processes do not lengthen.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, measured in zip(functions, times, strict=True):
            synchronise(device)
            started = clock()
            function()
            synchronise(device)
            measured.append(1000 * (clock() - started))
    return times


def summary(times: Sequence[float]) -> dict[str, float]:
    """Least and median, in milliseconds."""
    return {"min_ms": round(min(times), 2), "median_ms": round(statistics.median(times), 2)}
