"""What comes out of a check: a verdict, or what broke."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

TOLERANCE = 1e-5  # relative to the largest logit


@dataclass(frozen=True)
class CheckResult:
    """What came out of one check: the point in words, whether it held, and the number."""

    point: str
    held: bool
    detail: str


def point_of(check: Callable[..., object]) -> str:
    """The point that a check looks at: the first paragraph of its text, on one line."""
    text = inspect.cleandoc(check.__doc__ or check.__name__)
    return " ".join(text.partition("\n\n")[0].split())


class Broken(AssertionError):
    """A point of the contract that does not hold."""


def require(holds: bool, message: str) -> None:
    """Raise `Broken` unless it holds."""
    if not holds:
        raise Broken(message)


def close(ours: Tensor, theirs: Tensor, what: str) -> str:
    """How far two tensors of logits are apart; `Broken` if that is more than rounding."""
    require(ours.shape == theirs.shape, f"{what}: shapes {ours.shape} and {theirs.shape}")
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    require(error <= TOLERANCE, f"{what}: relative difference {error:.1e} > {TOLERANCE:.0e}")
    return f"relative difference {error:.1e}"
