"""Mean per-class accuracy: the mean of the classes' accuracies, each class counting once.

Definition: (1/C) sum over classes c of right[c] / total[c], over the C classes that have test
images. Source: Radford et al., "Learning Transferable Visual Models From Natural Language
Supervision" (CLIP, ICML 2021), table 9: the metric of OxfordPets, Caltech101, Flowers102 and
FGVCAircraft there, as their cards say ("usual_metric"). Papers of the CoOp family print accuracy
for these, too. Higher is better; over datasets the arithmetic mean, each counting once.
"""

from __future__ import annotations

from promptbench.api import Answers, Metric


class MeanClassAccuracy(Metric):
    """Mean per-class accuracy in percent."""

    title = "Mean per-class accuracy"
    short = "mean per-class accuracy"
    plural = "mean per-class accuracies"
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
