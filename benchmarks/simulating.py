"""What the simulations share: sizes, seeded random numbers, how shares are written."""

from __future__ import annotations

import numpy as np

SEEDS = (3, 5, 10)
METHODS = (5, 10, 20)
Row = tuple[str, ...]


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([20260101, *key])


def percent(share: float | np.floating) -> str:
    return f"{100 * share:.1f}"
