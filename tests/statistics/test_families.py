"""Holm's adjustment, marks and ranks: by hand, by their guarantees, and as they are simulated."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import simulated_tables as simulations
from promptbench.statistics import (
    Estimate,
    estimate,
    families,
    holm,
    places,
    standings,
    t_test,
)


def of(*values: float, seeds: tuple[int, ...] | None = None) -> Estimate:
    numbers = seeds or tuple(range(1, len(values) + 1))
    made = estimate(sum(values) / len(values), values)
    return replace(made, by_seed=tuple(zip(numbers, values, strict=True)))


def test_holm_by_hand() -> None:
    found = holm([0.01, math.nan, 0.04, 0.03, 0.5])
    assert found[[0, 2, 3, 4]] == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert math.isnan(found[1])
    assert len(holm([])) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.3))
def test_holm_rejects_what_the_stepwise_procedure_does(ps: list[float], alpha: float) -> None:
    order = sorted(range(len(ps)), key=ps.__getitem__)
    rejected = set()
    for step, index in enumerate(order):
        if ps[index] * (len(ps) - step) > alpha:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(holm(ps)) if p <= alpha} == rejected


def test_families_are_adjusted_each_for_itself() -> None:
    both = holm([[0.01, 0.02], [0.5, math.nan]])
    assert both[0] == pytest.approx([0.02, 0.02]) and both[1, 0] == 0.5


CLEAR = of(80.0, 81.0, 82.2)
LOW = of(60.0, 61.1, 62.0)


def test_best_second_and_separated() -> None:
    (found,), tests = standings([[LOW, CLEAR, of(79.0, 82.0, 80.0)]])
    assert (found.best, found.second, found.separated, tests) == ({1}, {2}, {0}, 3)


def test_marks_and_places_of_what_is_better_when_lower() -> None:
    columns = [[LOW, CLEAR, of(79.0, 82.0, 80.0)]]
    (found,), tests = standings(columns, higher=False)
    assert (found.best, found.second, found.separated, tests) == ({0}, {2}, {1, 2}, 3)
    assert places(columns[0], higher=False) == [(1, 1), (2, 3), (2, 3)]
    signs = [[of(-0.001, -0.002), of(0.001, 0.002), of(-1.0, -2.0)]]
    assert standings(signs)[0][0].best == {0, 1}  # both are printed as zero
    assert standings(signs, decimals=3)[0][0].best == {1}


def test_equal_printed_numbers_share_their_mark() -> None:
    (found,), _ = standings([[of(80.0, 81.0, 82.0), of(81.0, 81.004, 81.0), LOW, LOW]])
    assert (found.best, found.second) == ({0, 1}, {2, 3})


def test_separated_from_the_best_means_from_each_of_them() -> None:
    steady, shaky = of(80.0, 81.0, 82.0), of(70.0, 81.0, 92.0)
    (found,), _ = standings([[steady, shaky, LOW]])
    assert found.best == {0, 1} and not found.separated
    (found,), _ = standings([[steady, LOW]])
    assert found.separated == {1}


def test_seeds_that_few_rows_have_take_no_mark_from_rows_of_three() -> None:
    lucky = of(90.0)
    (found,), _ = standings([[CLEAR, LOW, lucky]])
    assert (found.best, found.second) == ({0}, {1})
    (found,), tests = standings([[CLEAR, lucky]])
    assert (found.best, found.second, tests) == ({1}, {0}, 0)
    (found,), _ = standings([[CLEAR, None, None]])
    assert not found.best  # nobody to compare with


def test_pairs_share_seeds_or_are_not_tested() -> None:
    shifted = of(60.0, 61.1, 62.0, seeds=(3, 4, 5))
    assert standings([[CLEAR, shifted]])[1] == 0
    assert standings([[CLEAR, of(60.0, 61.1, 62.0, seeds=(2, 3, 4))]])[1] == 0  # two in common
    assert places([CLEAR, shifted]) == [(1, 2), (1, 2)]
    assert places([CLEAR, LOW, of(90.0, 91.0), None]) == [(1, 1), (2, 2), None, None]


@pytest.mark.parametrize("seeds", [(1, 2, 3), (3, 1, 2)])
def test_the_difference_of_the_shown_means_is_tested(seeds: tuple[int, ...]) -> None:
    """A harmonic mean of means is not the mean of the harmonic means of seeds."""
    a = of(80.0, 80.5, 80.0)
    b = replace(of(80.5, 80.0, 80.5, seeds=seeds), mean=60.0)
    assert standings([[a, b]])[0][0].separated == {1}


@st.composite
def rows(draw: st.DrawFn) -> Estimate:
    """Over seeds that others have, too, some of them in another order; a harmonic mean is not the
    mean of its values over seeds."""
    seeds = draw(st.sampled_from(((1, 2, 3), (3, 1, 2), (1, 2, 3, 4), (2, 3, 5), (1, 2))))
    values = [draw(st.sampled_from((60.0, 60.5, 70.0, 81.25))) for _ in seeds]
    made = of(*values, seeds=seeds)
    return replace(made, mean=made.mean + draw(st.sampled_from((0.0, 0.0, -12.0))))


@given(st.lists(st.lists(st.none() | rows(), max_size=7), max_size=3), st.integers(1, 4))
def test_every_two_rows_are_tested_over_their_common_seeds(
    columns: list[list[Estimate | None]], at_once: int
) -> None:
    tested, p_values = [], []
    for number, column in enumerate(columns):
        enough = [e if e and e.n >= 3 else None for e in column]
        competing = enough if sum(map(bool, enough)) > 1 else column
        for (a, own), (b, other) in combinations(enumerate(competing), 2):
            if own and other:
                first, second = dict(own.by_seed), dict(other.by_seed)
                differences = [first[s] - second[s] for s in first if s in second]
                same = first.keys() == second.keys()
                center = own.mean - other.mean if same else statistics.fmean(differences or [0])
                if len(differences) >= 3 and (p := t_test(differences, center).p) is not None:
                    tested.append((number, b, a) if center > 0 else (number, a, b))
                    p_values.append(p)
    proven = {t for t, p in zip(tested, holm(p_values), strict=True) if p <= 0.05}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "_AT_ONCE", at_once)
        found, tests = standings(columns)
    assert tests == len(tested)
    for number, standing in enumerate(found):
        rows = range(len(columns[number]))
        below = {r for r in rows if all((number, r, best) in proven for best in standing.best)}
        assert standing.separated == (below if standing.best else set())


def test_more_columns_make_the_adjustment_stronger() -> None:
    a, b = of(80.0, 81.0, 82.0), of(77.0, 78.4, 79.2)  # p = 0.0019
    assert standings([[a, b]])[0][0].separated
    many, tests = standings([[a, b], *[[of(1.0, 2.0, 3.0), of(3.0, 1.0, 2.5)]] * 40])
    assert tests == 41 and not many[0].separated


@pytest.mark.parametrize("methods", [3, 6])
def test_the_simulated_rule_is_the_rule(methods: int) -> None:
    values = simulations.table(30, 2, 5, methods, 3.0)
    above = simulations.rejected(values)
    separated = simulations.separated(above, values)
    for drawn, table in enumerate(values):
        columns = [[of(*column[:, m]) for m in range(methods)] for column in table]
        found, tests = standings(columns)
        assert tests == methods * (methods - 1)
        for number, standing in enumerate(found):
            assert standing.separated == set(np.flatnonzero(separated[drawn, number]))
    for table, proven in zip(values[:, :1], simulations.rejected(values[:, :1])[:, 0], strict=True):
        found_places = places([of(*table[0][:, m]) for m in range(methods)])
        first, last = 1 + proven.sum(1), methods - proven.sum(0)
        assert found_places == list(zip(first, last, strict=True))


def test_without_a_difference_few_tables_have_a_dagger_or_an_order() -> None:
    """5 % at most; of 2000 tables within three standard errors."""
    values = simulations.table(2000, 3, 3, 5, 0.0)
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    above = simulations.rejected(values)
    assert simulations.separated(above, values).any((1, 2)).mean() <= limit
    assert simulations.rejected(values[:, :1]).any((1, 2, 3)).mean() <= limit
    assert simulations.with_best_only(values[:, :1]).mean() > 0.05  # why all pairs are counted


def test_rows_that_no_test_separates_share_their_places() -> None:
    """Equal rows, and near ones: a range of places for each, counted from those proven above."""
    top, equal = of(80.0, 80.1, 79.9), of(70.0, 70.2, 69.8)
    near, low = of(70.1, 70.1, 69.9), of(10.0, 10.3, 9.8)
    found = places([low, equal, top, equal, None, near, of(75.0, 75.0)])
    assert found == [(5, 5), (2, 4), (1, 1), (2, 4), None, (2, 4), None]
