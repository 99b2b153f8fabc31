"""Mean ranks over datasets: definitions, a printed value, guarantees by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f, friedmanchisquare, rankdata

from promptbench.statistics import MeanRanks, mean_ranks


def test_ranks_statistic_and_critical_difference_follow_their_definitions() -> None:
    scores = np.random.default_rng(3).integers(0, 6, (14, 4)) + np.array([0.0, 1, 0, 2])  # ties
    found = mean_ranks(scores)
    assert found.ranks == pytest.approx(rankdata(-scores, axis=1).mean(0))
    chi_square = friedmanchisquare(*scores.T).statistic  # corrected for ties
    statistic = 13 * chi_square / (14 * 3 - chi_square)  # Iman and Davenport 1980
    assert found.p == pytest.approx(f.sf(statistic, 3, 39))
    # Demšar, JMLR 7 (2006), 3.2.2: four methods, 14 datasets, q = 2.569.
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)


def test_groups_are_the_largest_ones() -> None:
    found = MeanRanks((1.0, 3.1, 2.0, 5.0, 4.5), 12, 0.01, 1.2)
    assert found.groups() == [(0, 2), (2, 1), (4, 3)]
    assert MeanRanks((1.0, 3.0, 5.0), 12, 0.01, 1.2).groups() == []


def test_equal_scores_share_a_rank_whatever_rounding_did() -> None:
    scores = [[0.1 + 0.2, 0.3, 0.1]] * 10
    assert mean_ranks(scores).ranks == (1.5, 1.5, 3.0)
    assert mean_ranks([[3.0, 2.0, 1.0]] * 10, higher=False).ranks == (3.0, 2.0, 1.0)
    assert mean_ranks([[1.0, 1.0, 1.0]] * 10).p == 1.0
    assert mean_ranks([[3.0, 2.0, 1.0]] * 10).p == 0.0


def test_it_takes_ten_data_sets_and_three_methods() -> None:
    for shape in ((9, 3), (10, 2)):
        with pytest.raises(ValueError, match="too few"):
            mean_ranks(np.zeros(shape))


def test_without_a_difference_few_are_told_apart() -> None:
    generator = np.random.default_rng(0)
    found = [mean_ranks(generator.normal(size=(11, 5))) for _ in range(400)]
    assert np.mean([each.p < 0.05 for each in found]) == pytest.approx(0.05, abs=0.033)
    apart = [max(e.ranks) - min(e.ranks) >= e.critical_difference for e in found]
    assert np.mean(apart) <= 0.05 + 0.033
