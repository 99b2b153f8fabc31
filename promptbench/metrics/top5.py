"""Top-5 accuracy: the share of the test images whose label is among the five most probable names.

Definition: (1/N) sum over images of [rank of y < 5], where the rank counts the names that come
before the image's own when sorted by the method's logits (of equal ones the first name comes
first). Predictions hold the rank. Not defined where five names or fewer compete, all of which would
be right. Source: Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge" (IJCV
2015). Higher is better; over datasets the arithmetic mean, each counting once.
"""

from __future__ import annotations

from promptbench.api import Answers, Metric

MOST = 5


class Top5Accuracy(Metric):
    """Top-5 accuracy in percent."""

    title = "Top-5 accuracy"
    short = "top-5 accuracy"
    plural = "top-5 accuracies"
    unit = "%"
    bounds = (0.0, 100.0)
    perfect = 100.0
    needs = "probabilities"
    harmonic = True

    def value(self, answers: Answers) -> float | None:
        """Return the share of all images; None without any, or where five names compete."""
        assert answers.rank is not None
        if not len(answers.rank) or len(answers.total) <= MOST:
            return None
        return float(100 * (answers.rank < MOST).mean())
