"""Confidence against accuracy in bins: what a calibration error and a reliability diagram share.

Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promptbench.core.answers import Answers, Floats, Integers

BINS = 15


@dataclass(frozen=True)
class Bins:
    """Images in `BINS` bins of equal width by confidence, [(m - 1) / BINS, m / BINS).

    Args:
        images: (BINS,) how many lie in each.
        right: (BINS,) how many of them were classified correctly.
        confidence: (BINS,) the sum of their confidences.
        gap: (BINS,) the sum of [classified correctly] - confidence, image by image.
    """

    images: Integers
    right: Integers
    confidence: Floats
    gap: Floats

    @property
    def error(self) -> float | None:
        """The expected calibration error in percent (equation 3); None without any image."""
        images = int(self.images.sum())
        return float(100 * np.abs(self.gap).sum() / images) if images else None


def binned(answers: Answers) -> Bins:
    """Put images into bins by their confidence; the answers hold labels and confidences.

    A confidence on an edge belongs to the bin above it, as in torchmetrics in float64 (the paper:
    below), and 1 to the last. Predictions hold four digits: 0.2, 0.4, 0.6 and 0.8 do occur.
    """
    assert answers.confidence is not None and answers.predicted is not None
    place = np.searchsorted(np.arange(1, BINS) / BINS, answers.confidence, side="right")
    right = answers.label == answers.predicted
    gap: Floats = np.bincount(place, right - answers.confidence, BINS).astype(np.float64)
    confidence: Floats = np.bincount(place, answers.confidence, BINS).astype(np.float64)
    return Bins(
        np.bincount(place, minlength=BINS),
        np.bincount(place[right], minlength=BINS),
        confidence,
        gap,
    )
