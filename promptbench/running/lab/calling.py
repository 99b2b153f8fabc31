"""Calling a method as a run does: each of its functions under the arithmetic of the run.

The towers hold matrices in the dtype that autocast computes in, so that every function which may
ask them for features is called this way: the constructor, `prepare`, `losses`, `logits`, `solve`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from promptbench.config import copied
from promptbench.core.method import ClassSet, Method
from promptbench.isolation.entering import plain_tensors
from promptbench.models.towers import Towers
from promptbench.running.lab.compute import Compute

P = ParamSpec("P")
R = TypeVar("R")

_HALF = (torch.float16, torch.bfloat16)


def built(
    compute: Compute,
    build: Callable[..., Method],
    towers: Towers,
    classes: ClassSet,
    /,
    **parameters: Any,
) -> Method:
    """A method from its constructor `build(towers, classes, **parameters)`, on the device; what it
    learns is float32.

    Learnables that start from the towers' features have their dtype, in which an optimiser's small
    steps would be lost: they are widened.
    """
    method = learning(compute, build, towers, classes, **copied(parameters))
    for parameter in method.parameters():
        if parameter.requires_grad and parameter.dtype in _HALF:
            parameter.data = parameter.data.float()
    return method.to(compute.device)


def learning(compute: Compute, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of a method's function in training; gradients flow where the caller wants them."""
    with compute.autocast():
        return function(*args, **kwargs)


def evaluating(compute: Compute, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of a method's function in evaluation."""
    with torch.inference_mode(), compute.autocast():
        return function(*args, **kwargs)


def losses_of(
    method: Method, classes: ClassSet, images: Tensor, labels: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """The loss terms of a training step, unweighted, and what is minimised; call it by `learning`.

    Args:
        images: normalised, [batch, 3, height, width], on the method's device.
        labels: int64 [batch].
    """
    terms = method.losses(images, labels, method.prepare(classes))
    total = method.total(terms)
    return plain_tensors(terms, "losses"), plain_tensors({"total": total}, "losses")["total"]
