"""What numbers may claim: intervals, paired tests, and the marks and ranks that follow from them.

Two uncertainties are kept apart. *Seeds* (few-shot draws and trainings) on the test images as they
are: `estimates`, `paired`. *Test images*, a sample of those that could have been taken: `images`.
`families` says what holds of many comparisons at once, `datasets` what holds over datasets. All
values are those of one metric, or differences of such.
"""

from promptbench.statistics.datasets import ENOUGH_DATASETS, ENOUGH_METHODS, MeanRanks, mean_ranks
from promptbench.statistics.estimates import ANY, ENOUGH_SEEDS, Ends, Estimate, estimate
from promptbench.statistics.families import ALPHA, Standing, holm, places, standings
from promptbench.statistics.images import (
    Outcomes,
    crossed_interval,
    propagated,
    redrawn,
    resampled,
    wilson,
)
from promptbench.statistics.paired import NOISE, PairedTest, signed_rank_test, t_p_values, t_test
from promptbench.statistics.searches import best_between, expected_best

__all__ = [
    "ALPHA",
    "ANY",
    "ENOUGH_DATASETS",
    "ENOUGH_METHODS",
    "ENOUGH_SEEDS",
    "Ends",
    "Estimate",
    "MeanRanks",
    "NOISE",
    "Outcomes",
    "PairedTest",
    "Standing",
    "best_between",
    "crossed_interval",
    "estimate",
    "expected_best",
    "holm",
    "mean_ranks",
    "places",
    "propagated",
    "redrawn",
    "resampled",
    "signed_rank_test",
    "standings",
    "t_p_values",
    "t_test",
    "wilson",
]
