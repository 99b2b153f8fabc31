"""Negative log-likelihood: the mean of -ln p[y], the cross-entropy of the test images.

Definition: (1/N) sum over images of -ln p[y], where p is the softmax of the method's own logits
over the names that compete and y the image's label; natural logarithm. Not defined where a label
has probability zero. Source: a proper score, Good (1952); for calibration Guo et al. (ICML 2017),
section 2. Lower is better; over datasets the arithmetic mean, each counting once.

Predictions hold -ln p[y] with four digits, and of images that are classified correctly the
confidence p[y] with four.
"""

from __future__ import annotations

import numpy as np

from promptbench.api import Answers, Metric


class NegativeLogLikelihood(Metric):
    """Negative log-likelihood in nats per image."""

    title = "Negative log-likelihood (NLL)"
    short = "NLL"
    better = "lower"
    decimals = 3
    bounds = (0.0, float("inf"))
    perfect = 0.0
    needs = "probabilities"

    def value(self, answers: Answers) -> float | None:
        """Return the mean; None without any image, or where one has a label of probability zero."""
        losses = answers.log_loss
        assert losses is not None
        return float(losses.mean()) if len(losses) and np.isfinite(losses).all() else None
