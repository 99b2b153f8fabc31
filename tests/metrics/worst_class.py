"""The error of the worst class, from predictions: a metric of which lower values are better."""

from __future__ import annotations

import numpy as np

from promptbench.api import Answers, Metric


class WorstClass(Metric):
    """The largest share of a class's images that are classified wrongly, from 0 to 1."""

    title = "Error of the worst class"
    short = "error of the worst class"
    better = "lower"
    decimals = 3
    bounds = (0.0, 1.0)
    perfect = 0.0
    needs = "predictions"

    def value(self, answers: Answers) -> float | None:
        """Return the error of the class with the most errors; None without images."""
        wrong = answers.label != answers.predicted
        return max(
            (float(wrong[answers.label == c].mean()) for c in np.unique(answers.label)),
            default=None,
        )
