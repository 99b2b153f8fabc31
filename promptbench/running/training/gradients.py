"""The gradients of a step: those of the total loss, or what a method makes of several.

Scales are the harness's: a method that makes its gradient sees gradients as they are in float32,
and a step is left out if one that it has seen overflows float16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from promptbench.core.method import Method, Surgeon
from promptbench.errors import UserError
from promptbench.isolation.entering import enter, learnables, plain_tensors


def backward(
    method: Method, terms: Mapping[str, Tensor], total: Tensor, scaler: torch.amp.GradScaler
) -> None:
    """Give each parameter that the step moves its gradient, times the scale.

    Args:
        terms, total: the loss terms of the step and what is minimised, with their graph.

    Raises:
        UserError: what the method makes is not a gradient of its parameters.
    """
    if not isinstance(method, Surgeon):
        enter(scaler.scale(total).backward)  # a method's hooks and functions run in it
        return
    learned = {name: p for name, p in learnables(method) if p.requires_grad}
    versions = {name: p._version for name, p in learned.items()}  # torch counts changes in place
    scale = scaler.scale(torch.ones((), device=total.device)) if scaler.is_enabled() else None
    sound: list[Tensor] = []
    gradient_of = _differentiating(learned, scale, sound)
    made = enter(_made, method, dict(terms), gradient_of)
    _refuse_wrong(made, learned, type(method).title)
    _refuse_changed(method, learned, versions)
    for name, gradient in made.items():
        own = gradient.detach().clone()
        if scale is not None:
            own = own * scale
            if sound:
                own = torch.where(torch.stack(sound).all(), own, torch.nan)
        learned[name].grad = own


def _made(method: Any, terms: dict[str, Tensor], gradient_of: Any) -> dict[str, Tensor]:
    found = method.gradients(terms, gradient_of)
    if not isinstance(found, Mapping):
        raise UserError(
            f"`gradients` of {type(method).title} returns {type(found).__name__}, not a mapping of "
            "the names of parameters to gradients"
        )
    return plain_tensors(found, "gradients")


def _differentiating(
    learned: Mapping[str, nn.Parameter], scale: Tensor | None, sound: list[Tensor]
) -> Callable[[Tensor], dict[str, Tensor]]:
    """From a loss to its gradients; whether each is finite is noted in `sound` where there is a
    scale."""

    def gradient_of(loss: Tensor) -> dict[str, Tensor]:
        if not isinstance(loss, Tensor) or loss.dim() or not loss.requires_grad:
            raise UserError(
                "gradient_of takes a loss: a scalar with a graph to what is learned, such as one "
                "of the terms"
            )
        scaled = loss if scale is None else loss * scale
        found = torch.autograd.grad(
            scaled, list(learned.values()), retain_graph=True, allow_unused=True
        )
        named = {name: g for name, g in zip(learned, found, strict=True) if g is not None}
        if scale is not None:
            sound.extend(torch.isfinite(g).all() for g in named.values())
            return {name: g / scale for name, g in named.items()}
        return {name: g.clone() for name, g in named.items()}  # not memory that a graph writes to

    return gradient_of


def _refuse_wrong(
    made: Mapping[str, Tensor], learned: Mapping[str, nn.Parameter], title: str
) -> None:
    whose = f"`gradients` of {title}"
    if any(parameter.grad is not None for parameter in learned.values()):
        raise UserError(
            f"{whose} calls backward itself, where a scale of float16 would be lost; ask "
            "gradient_of for gradients, and return the one to follow"
        )
    if not made and learned:
        raise UserError(f"{whose} returns nothing to follow")
    for name, gradient in made.items():
        if name not in learned:
            known = ", ".join(learned)
            raise UserError(f"{whose} returns one of {name!r}; what it learns is {known}")
        own = learned[name]
        if (gradient.shape, gradient.dtype) != (own.shape, own.dtype):
            raise UserError(
                f"{whose} returns {list(gradient.shape)}, {gradient.dtype} for {name!r}, not "
                f"{list(own.shape)}, {own.dtype}"
            )


def _refuse_changed(
    method: Method, learned: Mapping[str, nn.Parameter], versions: Mapping[str, int]
) -> None:
    """Refuse parameters that the optimiser does not know, or whose step was taken already."""
    now = {name: parameter for name, parameter in learnables(method) if parameter.requires_grad}
    for name in {**learned, **now}:
        own = now.get(name)
        if own is None or own is not learned.get(name) or own._version != versions[name]:
            raise UserError(
                f"`gradients` of {type(method).title} changes {name!r}; it makes the gradient of a "
                "step, and the optimiser takes the step"
            )
