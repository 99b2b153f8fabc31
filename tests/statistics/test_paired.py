"""Paired tests against closed forms and exact enumeration, and what rounding errors may not do."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptbench.statistics import signed_rank_test, t_p_values, t_test


def enumerated(differences: list[int]) -> float:
    """The two-sided signed-rank p-value over all 2^n signs, by the definition, in fractions."""
    sizes = [abs(d) for d in differences]
    ranks = [
        Fraction(2 * sum(s < size for s in sizes) + sum(s == size for s in sizes) + 1, 2)
        for size in sizes
    ]
    observed = sum(rank for rank, d in zip(ranks, differences, strict=True) if d > 0)
    sums = [
        sum(rank for rank, plus in zip(ranks, signs, strict=True) if plus)
        for signs in product((False, True), repeat=len(ranks))
    ]
    tails = (sum(s <= observed for s in sums), sum(s >= observed for s in sums))
    return float(min(Fraction(1), Fraction(2 * min(tails), len(sums))))


@given(st.lists(st.integers(-5, 5).filter(bool), min_size=2, max_size=9))
def test_the_signed_rank_test_is_the_enumeration_ties_included(differences: list[int]) -> None:
    found = signed_rank_test([*map(float, differences), 0.0])
    assert found.n == len(differences)
    assert found.p == pytest.approx(enumerated(differences), abs=1e-12)


@pytest.mark.parametrize(("n", "p"), [(2, 0.5), (3, 0.25), (6, 1 / 32), (30, 2.0**-29)])
def test_differences_of_one_sign_give_the_smallest_p_whatever_their_number(
    n: int, p: float
) -> None:
    assert signed_rank_test([1.0 + i for i in range(n)]).p == pytest.approx(p, rel=1e-12)
    assert signed_rank_test([-3.0] * n).p == pytest.approx(p, rel=1e-12)


def test_the_t_test_is_its_closed_form() -> None:
    # With 2 degrees of freedom P(|T| > t) = 1 - t / sqrt(2 + t^2); here t = 2 sqrt(3).
    t = 2 * math.sqrt(3)
    assert t_test([1.0, 2.0, 3.0]).p == pytest.approx(1 - t / math.sqrt(2 + t * t), abs=1e-14)
    # A shown difference of 1 with the same standard error.
    assert t_test([1.0, 2.0, 3.0], 1.0).p == pytest.approx(
        1 - math.sqrt(3) / math.sqrt(5), abs=1e-14
    )


@given(st.integers(2, 5000), st.lists(st.integers(0, 4000), min_size=2, max_size=8))
def test_one_more_correct_image_in_every_seed_is_no_evidence(n: int, counts: list[int]) -> None:
    right = [min(count, n - 1) for count in counts]
    differences = [100 * (count + 1) / n - 100 * count / n for count in right]
    found = t_test(differences)
    assert found.p is None and "equal" in found.why
    assert math.isnan(t_p_values([differences])[0])


@given(st.integers(2, 5000), st.permutations([3, 500, 77, 4]))
def test_equal_means_do_not_differ_and_equal_sizes_share_a_rank(n: int, counts: list[int]) -> None:
    a, b = ([100 * min(c, n) / n for c in order] for order in (counts, counts[::-1]))
    zero = sum(a) / 4 - sum(b) / 4  # equal sums in another order
    step = 100 * 2 / n - 100 * 1 / n
    same = 100 * min(8, n) / n - 100 * (min(8, n) - 1) / n  # one image as well
    found = signed_rank_test([zero, step, -same, 3 * step])
    assert found.n == 3 and found.p == pytest.approx(enumerated([1, -1, 3]))


def test_whole_triples_of_real_sizes_never_give_a_tiny_p() -> None:
    generator = np.random.default_rng(0)
    for images in (810, 1669, 2463):
        right = generator.integers(0, images, (200, 3))
        differences = 100 * (right + 1) / images - 100 * right / images
        assert np.ptp(differences, axis=1).max() > 0  # they do differ in their last digits
        assert np.isnan(t_p_values(differences)).all()


def test_a_test_that_does_not_exist_says_why() -> None:
    assert t_test([1.0]).p is None and "at least 2 seeds" in t_test([1.0]).why
    assert signed_rank_test([0.0, 2.0]).p is None
    assert "at least 2 datasets" in signed_rank_test([0.0, 2.0]).why
