"""Macro F1: the mean of the classes' F1 scores, each class counting once.

Definition: F1[c] = 2 TP[c] / (2 TP[c] + FP[c] + FN[c]), the harmonic mean of precision and recall,
averaged over the classes that have test images. Images of any class that are given the label c
count in FP[c]; names that compete without having images are not averaged over. Source: Yang and
Liu, "A re-examination of text categorization methods" (SIGIR 1999); scikit-learn's
f1_score(average="macro") with the classes that have images as `labels`. Higher is better; over
datasets the arithmetic mean, each counting once.
"""

from __future__ import annotations

import numpy as np

from promptbench.api import Answers, Metric


class MacroF1(Metric):
    """Macro F1 in percent."""

    title = "Macro F1"
    short = "macro F1"
    unit = "%"
    bounds = (0.0, 100.0)
    perfect = 100.0
    needs = "predictions"
    harmonic = True

    def value(self, answers: Answers) -> float | None:
        """Return the mean over classes; None where none has an image."""
        there = answers.total > 0
        if not there.any():
            return None
        assert answers.predicted is not None
        given = np.bincount(answers.predicted, minlength=len(answers.total))
        return float(100 * (2 * answers.right / np.maximum(answers.total + given, 1))[there].mean())
