"""The one way into a method, for whoever runs it.

Everything that a plugin can override (its constructor, `prepare`, `logits`, `losses`, `solve`,
`eval`, `train`, `to`, `state_dict`, `load_state_dict`, its properties, the backward pass of its
losses) is called through `enter`: directly, in the caller's thread, by a function that holds
nothing but the call. What comes back is made plain before it meets anything that a method is not
told: tensors are torch's own, mappings are dicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from promptbench.errors import UserError
from promptbench.isolation import audit

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def enter(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of a call into a method.

    Raises:
        Refused: inside a watch, the method looked at what it is not given.
    """
    with audit.entered():
        return function(*args, **kwargs)


def learnables(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters of a method by name.

    Raises:
        UserError: one is of a subclass of torch's, whose code would run wherever it is used.
    """
    found = enter(lambda: list(module.named_parameters()))
    for name, parameter in found:
        if type(parameter) is not nn.Parameter:
            raise UserError(f"the parameter {name!r} is {_kind(parameter)}, not torch.nn.Parameter")
    return found


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """A method's state by name, as plain tensors that share its memory.

    Raises:
        UserError: something in it is not a plain tensor.
    """
    return enter(lambda: plain_tensors(module.state_dict(), "its state_dict"))


def plain_tensors(found: Mapping[str, Any], what: str) -> dict[str, Tensor]:
    """A mapping of names to tensors as a dict of torch's own.

    Raises:
        UserError: a value is anything else, such as a subclass of Tensor, whose code would run
            wherever it is used.
    """
    plain: dict[str, Tensor] = {}
    for name, value in dict(found).items():
        own = value.detach() if type(value) is nn.Parameter else value
        if type(own) is not Tensor or type(name) is not str:
            raise UserError(
                f"{what} holds {name!r} as {_kind(value)}; only plain tensors (torch.Tensor) pass "
                "between a method and the harness"
            )
        plain[name] = own
    return plain


def plain_tensor(found: Any, what: str) -> Tensor:
    """A tensor that is torch's own, without its history.

    Raises:
        UserError: anything else, such as a subclass of Tensor.
    """
    if type(found) is not Tensor:
        raise UserError(
            f"{what} is {_kind(found)}; only plain tensors (torch.Tensor) pass between a method "
            "and the harness"
        )
    with torch.no_grad():
        return found.detach()


def given(batches: Iterator[T]) -> Iterator[T]:
    """The same items, from a generator that a method can hold without holding their source.

    It is not a `yield from`, which would show the source as an attribute.
    """
    while (item := next(batches, None)) is not None:
        yield item


def _kind(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
