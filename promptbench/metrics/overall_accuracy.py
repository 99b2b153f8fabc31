"""Overall accuracy in an open label space: of all test images, of base and of new classes together.

Definition: the share of the images of all targets of a training that are classified correctly,
where learned and other names compete. Each image counts once, so that the larger half weighs more.
Source: the accuracy of open-world prompt tuning, Zhou et al., "DeCoOp" (ICML 2024). Higher is
better; over datasets the arithmetic mean, each counting once. Not defined where the names of base
and new classes do not compete.
"""

from __future__ import annotations

from promptbench.api import Answers, Metric


class OverallAccuracy(Metric):
    """Overall accuracy in percent."""

    title = "Overall accuracy"
    short = "overall accuracy"
    plural = "overall accuracies"
    unit = "%"
    bounds = (0.0, 100.0)
    perfect = 100.0
    pooled = True

    def value(self, answers: Answers) -> float | None:
        """Return the share of all images; None without any."""
        images = int(answers.total.sum())
        return 100 * int(answers.right.sum()) / images if images else None
