"""The sampling error of test images: closed forms, enumeration, and simulated coverage."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from benchmarks import simulations
from promptbench.statistics import (
    Outcomes,
    crossed_interval,
    propagated,
    redrawn,
    resampled,
    wilson,
)


def test_wilson_solves_its_equation() -> None:
    for right, images in ((0, 20), (7, 20), (640, 846), (99, 100), (50, 50)):
        share = right / images
        for end in wilson(100 * share, images):
            p = end / 100
            if 0 < p < 1:
                assert abs(share - p) == pytest.approx(1.959964 * math.sqrt(p * (1 - p) / images))
    assert wilson(0.0, 20)[0] == 0.0 and wilson(100.0, 50)[1] == 100.0
    low, high = wilson(60.0, 846)  # the new half of dtd
    assert (high - low) / 2 == pytest.approx(3.29, abs=0.01)


def test_a_sum_of_test_sets_adds_squares_and_a_single_one_keeps_its_ends() -> None:
    ends = {"a": (40.0, 60.0), "b": (67.0, 74.0)}
    scores = {"a": 50.0, "b": 70.0}
    assert propagated(lambda s: s["a"], scores, ends) == pytest.approx((40.0, 60.0))
    found = propagated(lambda s: (s["a"] + s["b"]) / 2, scores, ends)
    assert found == pytest.approx((60 - math.hypot(10, 3) / 2, 60 + math.hypot(10, 4) / 2))
    assert propagated(lambda s: s.get("c"), scores, ends) is None


def tiny() -> Outcomes:
    labels = np.array([0, 1, 1, 0, 1])
    correct = [[[1, 0, 1, 1, 0], [1, 1, 0, 1, 0]], [[0, 0, 1, 0, 1], [0, 1, 1, 0, 1]]]
    return Outcomes(labels, np.array(correct, dtype=bool))


def test_images_are_drawn_within_classes_the_same_for_both_methods_and_all_seeds() -> None:
    """Against all 2^2 x 3^3 equally likely draws."""
    outcomes = tiny()
    every = [
        outcomes.correct[:, :, [*a, *b]].mean(-1).round(12).tobytes()
        for a in product((0, 3), repeat=2)
        for b in product((1, 2, 4), repeat=3)
    ]
    expected = {draw: every.count(draw) / len(every) for draw in every}
    draws = 40_000
    drawn = resampled(outcomes, np.random.default_rng(0), draws) / 100
    found = [draw.round(12).tobytes() for draw in drawn]
    assert set(found) == set(expected)
    for draw, share in expected.items():
        error = math.sqrt(share * (1 - share) / draws)
        assert found.count(draw) / draws == pytest.approx(share, abs=4.5 * error)


def test_the_interval_over_both_holds_each_of_its_parts() -> None:
    only_images = np.linspace(1.0, 3.0, 2001)
    assert crossed_interval(only_images, [2.0, 2.0, 2.0]) == pytest.approx((1.05, 2.95))
    assert crossed_interval(only_images, [1.0, 3.0]) == pytest.approx((1.05, 2.95))  # two seeds
    fixed_images = np.full(50, 2.0)
    half = 4.302652729911275 / math.sqrt(3)
    found = crossed_interval(fixed_images, [1.0, 2.0, 3.0])
    assert found == pytest.approx((2 - half, 2 + half))
    both = crossed_interval(only_images, [1.0, 2.0, 3.0])
    assert both[0] < 2 - half and both[1] > 2 + half
    assert crossed_interval(np.full(5, 99.0), [90.0, 99.0, 108.0])[1] == 100.0


def test_simulated_coverage() -> None:
    """95 %, within three standard errors; the interval over seeds only covers less."""
    draws = 300
    seeds, plain, crossed = simulations.image_intervals(draws, 5)
    assert crossed >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / draws)
    assert seeds < crossed and plain < crossed
    assert simulations.propagated_coverage(1000, "hm") == pytest.approx(0.95, abs=0.021)


def test_images_are_drawn_again_within_their_classes() -> None:
    labels = np.array([2, 0, 2, 2, 0, 5])
    draws = list(redrawn(labels, np.random.default_rng(1), 300))
    assert all(np.array_equal(np.sort(labels[place]), np.sort(labels)) for place in draws)
    counts = np.bincount(np.concatenate(draws), minlength=6)
    assert counts[5] == 300  # the only one of its class
    assert counts.sum() == 1800 and all(abs(count - 300) < 90 for count in counts[:5])


def test_a_share_of_one_has_the_interval_of_a_share_of_a_hundred() -> None:
    assert wilson(0.6, 846, 1.0) == pytest.approx([end / 100 for end in wilson(60.0, 846)])
    outcomes = Outcomes(np.zeros(4, np.int64), np.ones((2, 1, 4), np.bool_))
    assert (resampled(outcomes, np.random.default_rng(1), 5, whole=1.0) == 1.0).all()


def test_an_interval_ends_where_a_difference_can_end() -> None:
    draws = np.linspace(0.5, 1.0, 100)
    low, high = crossed_interval(draws, [0.1, 0.9, 1.0], (-1.0, 1.0))
    assert low >= -1.0 and high == 1.0
    assert crossed_interval(draws, [0.1, 0.9, 1.0])[1] > 1.0
