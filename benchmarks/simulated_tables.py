"""The marks and ranks of tables, simulated: how often they claim too much, and how much they find.

Called by `benchmarks.simulations`; "before" are the rules that compared intervals over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from benchmarks.simulating import METHODS, SEEDS, Row, percent, rng
from promptbench.statistics import ALPHA, holm, t_p_values

COLUMNS = 12  # of a table: base, new and HM of three datasets and of their average
STEP = 3.0  # points between a method and the next in the power tables; the seeds' deviation is 1


def rejected(values: np.ndarray) -> np.ndarray:
    """(draws, columns, methods, methods): whether the second method is proven to lie above the
    first, with Holm over all pairs of all columns; of values (draws, columns, seeds, methods).

    The rule of `promptbench.statistics.families` in one piece; a test compares the two.
    """
    draws, columns, _, methods = values.shape
    pairs = np.array(list(combinations(range(methods), 2)))
    d = np.moveaxis(values[..., pairs[:, 0]] - values[..., pairs[:, 1]], 2, -1)
    p = holm(t_p_values(d).reshape(draws, -1)).reshape(draws, columns, len(pairs))
    proven = p <= ALPHA
    above = np.zeros((draws, columns, methods, methods), dtype=bool)
    first_wins = d.mean(-1) > 0
    above[:, :, pairs[:, 1], pairs[:, 0]] = proven & first_wins
    above[:, :, pairs[:, 0], pairs[:, 1]] = proven & ~first_wins
    return above


def with_best_only(values: np.ndarray) -> np.ndarray:
    """(draws,): whether any row is separated, if only pairs with the best were counted by Holm."""
    draws = len(values)
    best = values.mean(2).argmax(-1)
    top = np.take_along_axis(values, best[:, :, None, None], -1)
    p = t_p_values(np.moveaxis(top - values, 2, -1))  # nan for the best itself
    found: np.ndarray = np.nan_to_num(holm(p.reshape(draws, -1)), nan=1.0).min(-1) <= ALPHA
    return found


def apart(values: np.ndarray) -> np.ndarray:
    """(draws, methods, methods) of one column: whether intervals over seeds do not overlap, which
    is what ranks and bold were made of before."""
    seeds = values.shape[1]
    half = stdtrit(seeds - 1, 0.975) * values.std(1, ddof=1) / np.sqrt(seeds)
    low, high = values.mean(1) - half, values.mean(1) + half
    result: np.ndarray = low[:, None, :] > high[:, :, None]
    return result


def leads_all(values: np.ndarray) -> np.ndarray:
    """(draws, methods) of one column: whether a method's interval lies above all others."""
    result: np.ndarray = apart(values).sum(1) == values.shape[-1] - 1
    return result


def table(draws: int, columns: int, seeds: int, methods: int, step: float) -> np.ndarray:
    """Values (draws, columns, seeds, methods): the first method is best, the others follow in
    steps; deviations of seeds between 0.5 and 2, and of each seed in common 1."""
    g = rng(12, columns, seeds, methods, round(10 * step))
    deviations = g.uniform(0.5, 2, (draws, columns, 1, methods)) / 1.25
    common = g.normal(0, 1, (draws, columns, seeds, 1))
    own = g.normal(0, 1, (draws, columns, seeds, methods)) * deviations
    return 70 + common + own - step * np.arange(methods)


def rules(draws: int) -> Iterator[Row]:
    settings = [(s, m) for m in METHODS for s in SEEDS]
    yield ("rule", *(f"{m} methods, {s} seeds" for s, m in settings))
    null = [table(draws, COLUMNS, s, m, 0) for s, m in settings]
    some = [table(draws, COLUMNS, s, m, STEP) for s, m in settings]
    yield (
        f"‡ size: any in a table of {COLUMNS} columns, no difference",
        *(percent(separated(rejected(v), v).any((1, 2)).mean()) for v in null),
    )
    yield (
        "the same, if Holm counted pairs with the best only (not used)",
        *(percent(with_best_only(v).mean()) for v in null),
    )
    for place, name in ((1, "second"), (4, "fifth")):
        yield (
            f"‡ power: the {name} of a column, {place * STEP:.0f} points below the best",
            *(percent(separated(rejected(v), v)[:, :, place].mean()) for v in some),
        )
    yield (
        "the second, if its column were the whole table",
        *(percent(separated(rejected(v[:, :1]), v[:, :1])[:, 0, 1].mean()) for v in some),
    )
    yield (
        "bold: is the best the true one, 3 points above the next",
        *(percent((v.mean(2).argmax(-1) == 0).mean()) for v in some),
    )
    yield (
        "bold by intervals above all others (before), size: any row, no difference",
        *(percent(leads_all(v[:, 0]).any(1).mean()) for v in null),
    )
    yield (
        "the same, power: the true best",
        *(percent(leads_all(v[:, 0])[:, 0].mean()) for v in some),
    )
    one, ranked = [v[:, :1] for v in null], [v[:, :1] for v in some]
    yield (
        "ranks, size: any pair ordered, no difference",
        *(percent(rejected(v).any((1, 2, 3)).mean()) for v in one),
    )
    yield (
        "the same by intervals that do not overlap (before)",
        *(percent(apart(v[:, 0]).any((1, 2)).mean()) for v in one),
    )
    yield (
        "ranks: all true places inside the ranges",
        *(percent(inside(rejected(v)).mean()) for v in ranked),
    )
    yield (
        "ranks, power: pairs ordered",
        *(
            percent(rejected(v).any(1).sum((1, 2)).mean() / (m * (m - 1) / 2))
            for v, (_, m) in zip(ranked, settings, strict=True)
        ),
    )
    yield (
        "the same by intervals that do not overlap (before)",
        *(
            percent(apart(v[:, 0]).sum((1, 2)).mean() / (m * (m - 1) / 2))
            for v, (_, m) in zip(ranked, settings, strict=True)
        ),
    )


def separated(above: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(draws, columns, methods): whether the best of the column is proven to lie above."""
    best = values.mean(2).argmax(-1)
    result: np.ndarray = np.take_along_axis(above, best[:, :, None, None], -1)[..., 0]
    return result


def inside(above: np.ndarray) -> np.ndarray:
    """(draws,): whether each method's true place, its number, is left open to it."""
    methods = above.shape[-1]
    first, last = 1 + above[:, 0].sum(-1), methods - above[:, 0].sum(-2)
    truth = 1 + np.arange(methods)
    result: np.ndarray = ((first <= truth) & (truth <= last)).all(-1)
    return result
