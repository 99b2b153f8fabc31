"""Top-1 accuracy: the share of the test images that are classified correctly.

Definition: right images over all images of a target; each counts once, whatever its class. Source:
the tables of the CoOp family (Zhou et al., IJCV 2022). Higher is better; over datasets the
arithmetic mean, each counting once.
"""

from __future__ import annotations

from promptbench.api import Answers, Metric


class Accuracy(Metric):
    """Top-1 accuracy in percent."""

    title = "Accuracy"
    short = "accuracy"
    plural = "accuracies"
    unit = "%"
    bounds = (0.0, 100.0)
    perfect = 100.0
    harmonic = True
    binomial = True

    def value(self, answers: Answers) -> float | None:
        """Return the share of all images; None without any."""
        images = int(answers.total.sum())
        return 100 * int(answers.right.sum()) / images if images else None
