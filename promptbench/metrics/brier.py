"""Brier score: the mean squared distance of the probabilities from the label.

Definition: (1/N) sum over images of the sum over all classes k of (p[k] - [k = y])^2, from 0 to 2
(scores of half of it are those of two classes); p is the softmax of the method's own logits over
the names that compete. Source: Brier, "Verification of forecasts expressed in terms of
probability" (Monthly Weather Review 1950), which has it for any number of classes. Lower is
better; over datasets the arithmetic mean, each counting once.

Confidence and label are not enough for it: predictions also hold the sum of the squares of all
other probabilities, and that of the label.
"""

from __future__ import annotations

from promptbench.api import Answers, Metric


class BrierScore(Metric):
    """Brier score over all classes."""

    title = "Brier score"
    short = "Brier score"
    better = "lower"
    decimals = 4
    bounds = (0.0, 2.0)
    perfect = 0.0
    needs = "probabilities"

    def value(self, answers: Answers) -> float | None:
        """Return the mean; None without any image."""
        losses = answers.square_loss
        assert losses is not None
        return float(losses.mean()) if len(losses) else None
