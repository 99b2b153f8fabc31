"""Expected calibration error: how far confidence and accuracy are apart.

Definition: images are put into 15 bins of equal width by confidence, [(m - 1) / 15, m / 15); ECE is
the sum over bins of (share of the images) * |accuracy - mean confidence|. Bins hold the whole test
set of a target, not batches. Confidence is the largest probability of the softmax of the method's
own logits, as predictions hold it. Source: Guo et al., "On Calibration of Modern Neural Networks"
(ICML 2017), equations 2 and 3, M = 15; a confidence on an edge counts in the bin above, as
in torchmetrics, and 1 in the last. Lower is better; over datasets the arithmetic mean, each
counting once. No harmonic mean of base and new classes is defined.
"""

from __future__ import annotations

from promptbench.api import Answers, Metric
from promptbench.core.calibration import binned


class ExpectedCalibrationError(Metric):
    """Expected calibration error in percent."""

    title = "Expected calibration error (ECE)"
    short = "ECE"
    unit = "%"
    better = "lower"
    bounds = (0.0, 100.0)
    perfect = 0.0
    needs = "probabilities"

    def value(self, answers: Answers) -> float | None:
        """Return the error; None without any image."""
        return binned(answers).error
