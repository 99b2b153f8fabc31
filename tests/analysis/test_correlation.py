"""Rank correlations over runs: exact where all orders are looked at, valid for seeds alike."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from promptbench.analysis.correlation import correlations, rank_correlation
from promptbench.analysis.rows import Number, select

Values = dict[tuple[str, int | None], float]


def runs(table: list[list[float]]) -> Values:
    """Values of methods (lines) and seeds."""
    return {(f"m{i}", s): value for i, line in enumerate(table) for s, value in enumerate(line)}


def p_of(a: Values, b: Values) -> float | None:
    found = rank_correlation(a, b)
    assert found is not None
    return found.p


def test_a_perfect_order_of_three_is_one_in_three() -> None:
    found = rank_correlation(runs([[1], [2], [3]]), runs([[10], [20], [90]]))
    assert found is not None and found.rho == pytest.approx(1)
    assert found.p == pytest.approx(2 / 6) and (found.n, found.methods) == (3, 3)
    assert p_of(runs([[1], [2], [3]]), runs([[3], [2], [1]])) == pytest.approx(2 / 6)


@pytest.mark.parametrize("seed", range(5))
def test_p_is_that_of_all_orders(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, size=(2, 5)).astype(float)  # with ties
    observed = abs(spearmanr(a, b).statistic)
    orders = [abs(spearmanr(a, order).statistic) for order in itertools.permutations(b)]
    expected = np.mean(np.array(orders) >= observed - 1e-9)
    one, other = (runs([[value] for value in side]) for side in (a, b))
    found = rank_correlation(one, other)
    assert found is not None and found.p == pytest.approx(expected)
    assert found.rho == pytest.approx(spearmanr(a, b).statistic)


def test_methods_move_with_all_their_seeds() -> None:
    a, b = [[1, 2], [3, 9], [5, 6], [7, 8]], [[2, 1], [3, 4], [8, 5], [6, 7]]
    observed = abs(spearmanr(np.ravel(a), np.ravel(b)).statistic)
    orders = [
        abs(spearmanr(np.ravel(a), np.ravel(order)).statistic)
        for order in itertools.permutations(b)
    ]
    expected = np.mean(np.array(orders) >= observed - 1e-9)
    assert len(orders) == 24 and p_of(runs(a), runs(b)) == pytest.approx(expected)


def test_seeds_of_a_method_are_not_counted_as_independent() -> None:
    """Of measures that have nothing to do with accuracy, as many are below 0.05 as should be; with
    runs as independent it is every fifth."""
    rng = np.random.default_rng(0)
    shared, free, times = 0, 0, 400
    for _ in range(times):
        methods = rng.normal(size=(2, 6, 1))  # a method is as it is
        a, b = methods + 0.3 * rng.normal(size=(2, 6, 3))
        p = p_of(runs(a.tolist()), runs(b.tolist()))
        shared += p is not None and p <= 0.05
        free += spearmanr(a.ravel(), b.ravel()).pvalue <= 0.05
    assert 0.02 <= shared / times <= 0.075 and free / times > 0.15


def test_many_methods_are_permuted_at_random_and_the_same_again() -> None:
    order = list(range(12))
    a, b = (runs([[float(v)] for v in side]) for side in (order, [*order[1::2], *order[::2]]))
    first = p_of(a, b)
    assert first == p_of(a, b)
    exact = spearmanr(order, [*order[1::2], *order[::2]]).pvalue
    assert first == pytest.approx(exact, abs=0.03)
    assert p_of(a, a) == pytest.approx(1 / 20_001)  # never zero


def test_two_methods_have_no_p_and_one_is_tested_by_its_seeds() -> None:
    two = rank_correlation(runs([[1, 2, 3], [4, 5, 6]]), runs([[1, 2, 3], [4, 5, 6]]))
    assert two is not None and two.rho == pytest.approx(1) and two.p is None
    assert p_of(runs([[1, 2, 3]]), runs([[1, 2, 3]])) == pytest.approx(2 / 6)


def test_seeds_that_a_method_lacks_do_not_count() -> None:
    whole = {(m, s): float(3 * i + s) for i, m in enumerate("abc") for s in (1, 2)}
    more = whole | {("a", 3): 99.0}
    found = rank_correlation(more, more)
    assert found == rank_correlation(whole, whole) and found is not None and found.n == 6
    apart: Values = {("a", 1): 1.0, ("b", 2): 2.0, ("c", 3): 3.0}
    found = rank_correlation(apart, apart)
    assert found is not None and found.p is None and found.n == 3
    missing = whole | {("a", 1): math.nan}
    found = rank_correlation(missing, whole)
    assert found is not None and found.n == 3


def test_what_does_not_vary_has_no_correlation() -> None:
    assert rank_correlation(runs([[1], [1], [1]]), runs([[1], [2], [3]])) is None
    assert rank_correlation(runs([[1], [2]]), runs([[1], [2]])) is None


def row(title: str, quantity: str, value: float, part: str = "cls/unit", seed: int = 1) -> Number:
    return Number(title, title, "x", seed, None, "new", part, None, "", quantity, value)


def test_rows_are_of_the_field_itself() -> None:
    rows = []
    for i, title in enumerate("abc"):
        rows += [row(title, "accuracy", 50.0 + i, ""), row(title, "mean_cosine", float(i))]
        rows += [row(title, "mean_cosine", float(i), "cls/unit/epoch-0")]
    found = correlations(rows)
    assert {r.part for r in found} == {"cls/unit"} and {r.item for r in found} == {"mean_cosine"}
    values = {r.quantity: r.value for r in found}
    assert values == pytest.approx({"spearman": 1, "n": 3, "methods": 3, "p": 1 / 3})
    two = correlations([r for r in rows if r.title != "c"] + [row("a", "accuracy", 7.0, "", 2)])
    assert not select(two, quantity="p")
