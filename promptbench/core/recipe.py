"""How a method is trained: optimiser, schedule, batches and the crops of its pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch

from promptbench.core.averaging import EpochAverage, gaussian_weights
from promptbench.core.method import Method
from promptbench.errors import UserError
from promptbench.isolation.entering import learnables

Crop = tuple[float, float]
# Fields that are younger than the first records, with the values that these have: with them they
# stand in no id, record or configuration, where they would make another cell of the same.
YOUNGER: Mapping[str, Any] = MappingProxyType({"eps": 1e-8, "schedule": "epoch"})
_NO_EPOCHS = "Recipe.epochs is an empty table; give a number or {shots: epochs}"


@dataclass(frozen=True)
class Recipe:
    """How a method is trained; every method's gin file binds it.

    Args:
        optimizer: "sgd" (momentum, no Nesterov), "adamw" or "adam" (betas 0.9, 0.999; Adam adds the
            weight decay to the gradient).
        lr: peak learning rate.
        batch_size: images per step; a last, incomplete batch is dropped unless it is the only one.
        epochs: all epochs, warm-up included; or by number of shots, such as {1: 50, 4: 100}, where
            a number in between takes the entry below it.
        warmup_epochs: epochs at the constant `warmup_lr` before the cosine.
        crop_scale: area range of the random resized crop.
        flip: probability of the horizontal flip.
        average: (mean, std) in epochs of a Gaussian-weighted average of the learnables over all
            epochs (`promptbench.core.averaging`), which is then the model; None: the last epoch's.
        eps: of Adam and AdamW, added to the root of the second moment.
        schedule: whether the learning rate changes after every epoch or after every step.

    Raises:
        UserError: a setting outside its range.
    """

    optimizer: Literal["sgd", "adamw", "adam"] = "sgd"
    lr: float = 0.002
    weight_decay: float = 5e-4
    momentum: float = 0.9
    batch_size: int = 32
    epochs: int | dict[int, int] = 50
    warmup_epochs: int = 1
    warmup_lr: float = 1e-5
    crop_scale: Crop = (0.08, 1.0)
    flip: float = 0.5
    average: tuple[float, float] | None = None
    eps: float = 1e-8
    schedule: Literal["epoch", "step"] = "epoch"

    def __post_init__(self) -> None:
        if wrong := out_of_range(vars(self)):
            raise UserError(wrong[1])

    @property
    def n_epochs(self) -> int:
        """All epochs; a plan has settled them for its number of shots (`epochs_for`)."""
        if not isinstance(self.epochs, int):
            raise TypeError("the epochs depend on the number of shots; see epochs_for")
        return self.epochs

    def lr_at(self, epoch: float) -> float:
        """The learning rate of an epoch, counted from 0: warm-up, then a cosine over all epochs.

        Where the schedule goes by steps, 2.5 is the middle of the third epoch.
        """
        if epoch < self.warmup_epochs:
            return self.warmup_lr
        passed = (epoch - self.warmup_epochs) / self.n_epochs
        return self.lr * (1 + math.cos(math.pi * passed)) / 2

    def epoch_average(self) -> EpochAverage:
        """The average over epochs that the model is taken from, if there is to be one."""
        return EpochAverage(gaussian_weights(self.n_epochs, *self.average) if self.average else ())

    def build_optimizer(self, method: Method, fused: bool = True) -> torch.optim.Optimizer:
        """The optimiser over everything the method learns; `fused`: one kernel per step."""
        learned = [p for _, p in learnables(method) if p.requires_grad]
        decay = self.weight_decay
        if self.optimizer != "sgd":
            kind = torch.optim.AdamW if self.optimizer == "adamw" else torch.optim.Adam
            return kind(learned, lr=self.lr, weight_decay=decay, eps=self.eps, fused=fused)
        return torch.optim.SGD(
            learned, lr=self.lr, momentum=self.momentum, weight_decay=decay, fused=fused
        )


def stated(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's settings without younger fields that have their usual values."""
    return {k: v for k, v in settings.items() if k not in YOUNGER or v != YOUNGER[k]}


def whole(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's settings with all younger fields."""
    return {**YOUNGER, **settings}


def out_of_range(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Find the first setting of a recipe that is outside its range: its name, and what is wrong."""
    epochs, average = settings["epochs"], settings["average"]
    table = epochs if isinstance(epochs, dict) else {1: epochs}
    if not table:
        return "epochs", _NO_EPOCHS
    low, high = settings["crop_scale"]
    rates = ("lr", "weight_decay", "warmup_lr")
    for name, holds, wanted in (
        *((name, 0 <= settings[name] < math.inf, "a number from 0 on") for name in rates),
        ("momentum", 0 <= settings["momentum"] < 1, "from 0 on and below 1"),
        ("batch_size", settings["batch_size"] >= 1, "at least 1"),
        ("epochs", min((*table, *table.values())) >= 1, "at least 1"),
        ("warmup_epochs", settings["warmup_epochs"] >= 0, "at least 0"),
        ("crop_scale", 0 < low <= high <= 1, "(low, high) with 0 < low <= high <= 1"),
        ("eps", 0 < settings["eps"] < math.inf, "a number above 0"),
        ("flip", 0 <= settings["flip"] <= 1, "a probability from 0 to 1"),
        ("average", average is None or 0 < average[1] < math.inf, "(mean, std) with std above 0"),
    ):
        if not holds:
            return name, f"Recipe.{name} must be {wanted}, not {settings[name]}"
    return None


def warms_up_only(settings: Mapping[str, Any]) -> bool:
    """Whether a recipe whose epochs are a number never leaves its warm-up for the peak rate."""
    within = settings["epochs"] <= settings["warmup_epochs"]
    return bool(within and settings["warmup_lr"] < settings["lr"])


def epochs_for(epochs: int | dict[int, int], shots: int) -> int:
    """The number of epochs for `shots`: the entry of the largest number not above it."""
    if isinstance(epochs, int):
        return epochs
    if not epochs:
        raise UserError(_NO_EPOCHS)
    return epochs[max((k for k in epochs if k <= shots), default=min(epochs))]
