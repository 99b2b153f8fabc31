"""Balanced accuracy: the mean of the classes' accuracies, each class counting once.

A metric that somebody might write: one file, nothing else.
"""

from __future__ import annotations

from promptbench.api import Answers, Metric


class BalancedAccuracy(Metric):
    """Balanced accuracy in percent, over the classes that have images."""

    title = "Balanced accuracy"
    short = "balanced accuracy"
    plural = "balanced accuracies"
    unit = "%"
    bounds = (0.0, 100.0)
    perfect = 100.0
    harmonic = True

    def value(self, answers: Answers) -> float | None:
        """Return the mean over classes; None where none has an image."""
        there = answers.total > 0
        if not there.any():
            return None
        return float(100 * (answers.right[there] / answers.total[there]).mean())
