"""Trainings that leave the finite numbers are stopped, and say where they last were well."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from promptbench.entering import learnables
from promptbench.errors import UserError
from promptbench.method import Method

OVERFLOW = "the gradient is not finite in float16"


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
    for name, parameter in learnables(method):
        if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
            raise diverged(f"parameter {name!r} is not finite {where}", last)


def diverged(what: str, last: str) -> UserError:
    """The error of a training that has left the finite numbers; `last` as in `finite`."""
    return UserError(
        f"training diverged: {what}; lower Recipe.lr, or use --precision fp32 ({last})"
    )
