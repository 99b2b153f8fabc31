"""How a method is trained: optimiser, schedule, batches and what is done to its pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from promptbench.core.ranges import NO_EPOCHS, out_of_range, steps_per_shot
from promptbench.core.shots import entry_for
from promptbench.errors import UserError

if TYPE_CHECKING:  # to read a recipe needs no torch
    import torch

    from promptbench.core.averaging import EpochAverage
    from promptbench.core.method import Method

Crop = tuple[float, float]
View = Literal["crop", "randaugment", "plain"]
Table = dict[int, int]  # from a number of shots to the epochs of it and of those up to the next
StepsPerShot = dict[Literal["steps_per_shot"], int]
# Fields that are younger than the first records, with the values that these have: with them they
# stand in no id, record or configuration, where they would make another cell of the same.
YOUNGER: Mapping[str, Any] = MappingProxyType(
    {
        "eps": 1e-8,
        "schedule": "epoch",
        "final_lr": 0.0,
        "groups": (),
        "stages": (),
        "views": ("crop",),
        "randaugment": (2, 10),
    }
)


@dataclass(frozen=True)
class Recipe:
    """How a method is trained; every method's gin file binds it.

    Args:
        optimizer: "sgd" (momentum, no Nesterov), "adamw" or "adam" (betas 0.9, 0.999; Adam adds the
            weight decay to the gradient).
        lr: peak learning rate.
        batch_size: images per step; a last, incomplete batch is dropped unless it is the only one.
        epochs: all epochs, warm-up included; or by number of shots, such as {1: 50, 4: 100}, where
            a number in between takes the entry below it; or {'steps_per_shot': 300} for 300 steps
            times the number of shots, the last epoch cut off where they end.
        warmup_epochs: epochs at the constant `warmup_lr` before the cosine.
        crop_scale: area range of the random resized crop.
        flip: probability of the horizontal flip.
        average: (mean, std) in epochs of a Gaussian-weighted average of the learnables over all
            epochs (`promptbench.core.averaging`), which is then the model; None: the last epoch's.
        eps: of Adam and AdamW, added to the root of the second moment.
        schedule: whether the learning rate changes after every epoch or after every step.
        final_lr: the rate that the cosine falls to.
        groups: settings of some of the parameters, later ones winning, such as
            ({'parameters': '*bias', 'weight_decay': 0.0},): lr, weight_decay and momentum of a
            group of the method (`Method.groups`), or of the parameters whose names match.
        stages: trainings one after the other, each with a new optimiser and a new schedule, such as
            ({'share': 0.6}, {'share': 0.4, 'lr': 1e-3}): the share of the steps, and what is
            different (`promptbench.core.ranges.OF_STAGES`); empty: one.
        views: what is made of each image, one entry a view: "crop", the random crop and flip;
            "randaugment", RandAugment of the resized image, without crop and flip; "plain", the
            test transform.
        randaugment: (operations, magnitude from 0 to 30) of RandAugment (arXiv 1909.13719).

    Raises:
        UserError: a setting outside its range.
    """

    optimizer: Literal["sgd", "adamw", "adam"] = "sgd"
    lr: float = 0.002
    weight_decay: float = 5e-4
    momentum: float = 0.9
    batch_size: int = 32
    epochs: int | Table | StepsPerShot = 50
    warmup_epochs: int = 1
    warmup_lr: float = 1e-5
    crop_scale: Crop = (0.08, 1.0)
    flip: float = 0.5
    average: tuple[float, float] | None = None
    eps: float = 1e-8
    schedule: Literal["epoch", "step"] = "epoch"
    final_lr: float = 0.0
    groups: tuple[dict[str, Any], ...] = ()
    stages: tuple[dict[str, Any], ...] = ()
    views: tuple[View, ...] = ("crop",)
    randaugment: tuple[int, int] = (2, 10)

    def __post_init__(self) -> None:
        if wrong := out_of_range(vars(self)):
            raise UserError(wrong[1])

    @property
    def n_epochs(self) -> int:
        """All epochs, of a recipe that says them; a `promptbench.core.course.Course` knows more."""
        if not isinstance(self.epochs, int):
            raise TypeError("the epochs depend on the number of shots; see epochs_for and Course")
        return self.epochs

    def lr_at(self, epoch: float, epochs: float | None = None) -> float:
        """The learning rate of an epoch, counted from 0: warm-up, then a cosine over all epochs.

        Where the schedule goes by steps, 2.5 is the middle of the third epoch.

        Args:
            epochs: how many there are, where it is not the recipe that says so.
        """
        if epoch < self.warmup_epochs:
            return self.warmup_lr
        passed = (epoch - self.warmup_epochs) / (self.n_epochs if epochs is None else epochs)
        above = self.lr - self.final_lr
        return self.final_lr + above * (1 + math.cos(math.pi * passed)) / 2

    def epoch_average(self, epochs: int | None = None) -> EpochAverage:
        """The average over (so many) epochs that the model is taken from, if there is to be one."""
        from promptbench.core.averaging import EpochAverage, gaussian_weights

        count = self.n_epochs if epochs is None and self.average else epochs or 0
        return EpochAverage(gaussian_weights(count, *self.average) if self.average else ())

    def of_stage(self, settings: Mapping[str, Any]) -> Recipe:
        """The recipe of one of its stages."""
        own = {name: value for name, value in settings.items() if name != "share"}
        return replace(self, stages=(), **own)

    def by_group(self, method: Method) -> list[tuple[Recipe, list[torch.nn.Parameter]]]:
        """Everything the method learns, with the recipe that each part of it is trained by.

        Raises:
            UserError: settings for what the method does not have.
        """
        from promptbench.core.groups import grouped

        parts = grouped(method, self.groups)
        return [(replace(self, groups=(), **own), members) for own, members in parts]

    def build_optimizer(self, method: Method, fused: bool = True) -> torch.optim.Optimizer:
        """The optimiser over everything the method learns; `fused`: one kernel per step.

        Its groups of parameters are those of `by_group`, in that order.
        """
        import torch

        from promptbench.core.optimizers import eager

        parts = [(vars(recipe), members) for recipe, members in self.by_group(method)]
        own = ("lr", "weight_decay", *(["momentum"] if self.optimizer == "sgd" else []))
        learned = [{"params": p, **{name: r[name] for name in own}} for r, p in parts]
        if self.optimizer != "sgd":
            kind = torch.optim.AdamW if self.optimizer == "adamw" else torch.optim.Adam
            return eager(kind)(learned, eps=self.eps, fused=fused)
        return eager(torch.optim.SGD)(learned, fused=fused)


def stated(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's settings without younger fields that have their usual values."""
    return {k: v for k, v in settings.items() if k not in YOUNGER or _fixed(v) != YOUNGER[k]}


def whole(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's settings with all younger fields."""
    return {**YOUNGER, **settings}


def _fixed(value: Any) -> Any:
    """A list as a tuple: gin files and records write either."""
    return tuple(value) if isinstance(value, list) else value


def unfit(method: type[Method], settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Find what a recipe has that a method cannot be trained with: the setting, what is wrong."""
    title, views, stages = method.title, len(settings["views"]), len(settings["stages"]) or 1
    if views != method.views:
        return "views", (
            f"Recipe.views has {views}, {settings['views']}; {title} learns from {method.views} of "
            f"each image: {_like('views', ('crop',) * method.views)}"
        )
    if method.stages > 1 and stages != method.stages:
        first, others = round(1 / method.stages, 2), method.stages - 1
        shares = (*({"share": first},) * others, {"share": round(1 - first * others, 2)})
        return "stages", (
            f"Recipe.stages has {stages}; the training of {title} has {method.stages}: "
            f"{_like('stages', shares)}"
        )
    return None


def _like(name: str, value: object) -> str:
    return f"bind as many, such as Recipe.{name} = {value}"


def warms_up_only(settings: Mapping[str, Any]) -> bool:
    """Whether a recipe whose epochs are a number never leaves its warm-up for the peak rate."""
    epochs = settings["epochs"]
    within = isinstance(epochs, int) and epochs <= settings["warmup_epochs"]
    return bool(within and settings["warmup_lr"] < settings["lr"])


def epochs_for(epochs: int | Table | StepsPerShot, shots: int) -> int | StepsPerShot:
    """What holds for `shots`: of a table, the entry of the largest number not above it."""
    if isinstance(epochs, int):
        return epochs
    if not epochs:
        raise UserError(NO_EPOCHS)
    steps = steps_per_shot(epochs)
    if steps is not None:
        return {"steps_per_shot": steps}
    table: dict[Any, int] = {**epochs}
    return entry_for(table, shots)
