"""One step of a training: backward, the gradient scaler of float16, the optimiser.

A training that leaves the finite numbers is stopped, and says where it last was well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from promptbench.core.course import Stage
from promptbench.core.method import Method
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError
from promptbench.isolation.entering import learnables
from promptbench.running.failures import DIVERGED
from promptbench.running.lab.compute import Compute
from promptbench.running.training.gradients import backward

OVERFLOW = "the gradient is not finite in float16"
_NONE: Mapping[str, Tensor] = MappingProxyType({})
_LEAST_SCALE = 2.0**-14  # 21 overflows in a row from the first scale


class Stepper:
    """The optimiser of a method and its gradient scaler, which is active for float16 only.

    `is_stuck`: gradients have overflowed so often in a row that no scale can be to blame.
    """

    def __init__(self, method: Method, recipe: Recipe, compute: Compute) -> None:
        self._method, self._compute = method, compute
        self.begin(recipe)

    def begin(self, recipe: Recipe) -> None:
        """Start again with the optimiser of a recipe, which knows nothing of the steps before."""
        self.scaler = self._compute.scaler()
        self._scale: float | None = None  # after the last step: a GPU is waited for to read it
        # Fused steps and a scaler do not go together: when the first step overflows, fused SGD
        # keeps a momentum buffer that it has never filled, and all later steps add to it.
        self.optimizer = recipe.build_optimizer(self._method, fused=not self.scaler.is_enabled())
        self._recipes = [own for own, _ in recipe.by_group(self._method)]

    def set_lr(self, lr: float) -> None:
        """The learning rate of the steps that follow, of everything that is learned."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def follow(self, stage: Stage, step: int) -> None:
        """The learning rates of a step, as the schedule of its stage has them."""
        passed = stage.epoch_at(step)
        for group, recipe in zip(self.optimizer.param_groups, self._recipes, strict=True):
            group["lr"] = recipe.lr_at(passed, stage.epochs)

    def step(self, total: Tensor, terms: Mapping[str, Tensor] = _NONE) -> bool:
        """A step down the gradient of `total`, or down the one that the method makes of `terms`;
        False if it was left out.

        A gradient that overflows float16 is not followed: the next one has a smaller scale.
        """
        self.differentiate(total, terms)
        return self.follow_gradient()

    def differentiate(self, total: Tensor, terms: Mapping[str, Tensor] = _NONE) -> None:
        """Leave the gradient of a step in `.grad`, times the scale of float16."""
        self.optimizer.zero_grad(set_to_none=True)
        backward(self._method, terms, total, self.scaler)

    def follow_gradient(self) -> bool:
        """A step down the gradient that is there; False if it was left out."""
        before = self.scaler.get_scale() if self._scale is None else self._scale
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._scale = self.scaler.get_scale()
        return self._scale >= before

    @property
    def is_stuck(self) -> bool:
        return self._scale is not None and self._scale < _LEAST_SCALE


def finite(terms: Mapping[str, Tensor], where: str, last: str) -> dict[str, float]:
    """Loss terms as plain numbers; `last` says which checkpoint is good.

    Raises:
        UserError: one is not finite.
    """
    values = dict(
        zip(terms, torch.stack([t.detach().float() for t in terms.values()]).tolist(), strict=True)
    )
    broken = [name for name, value in values.items() if not math.isfinite(value)]
    if broken:
        raise diverged(f"loss term {broken[0]!r} is {values[broken[0]]} {where}", last)
    return values


def refuse_broken(method: Method, where: str, last: str) -> None:
    """A finite loss can leave parameters that are not: such a checkpoint would be of no use.

    Raises:
        UserError: a parameter is not finite.
    """
    name = not_finite(method)
    if name is not None:
        raise diverged(f"parameter {name!r} is not finite {where}", last)


def not_finite(method: Method) -> str | None:
    """The first learned parameter of a method that is not finite; None if all are."""
    for name, parameter in learnables(method):
        if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
            return name
    return None


def diverged(what: str, last: str) -> UserError:
    """The error of a training that has left the finite numbers; `last` as in `finite`."""
    return UserError(f"{DIVERGED}: {what}; lower Recipe.lr, or use --precision fp32 ({last})")
