"""AUROC of base against new: how well the probability mass separates images of the two halves.

Definition: of all pairs of an image of a base (learned) class and one of a new class, the share in
which the first has more probability mass on the base names; equal masses count half. It is the
area under the ROC curve of that mass as a detector of base images. All class names compete, and
images of both halves are taken together. Source: Hanley and McNeil (Radiology 1982) for the area
as a share of pairs; for base and new classes Zhou et al., "DeCoOp" (ICML 2024). Higher is better,
50 is chance; over datasets the arithmetic mean, each counting once. Not defined where the names of
base and new classes do not compete.

Predictions hold masses with five digits. Where a method is sure of nearly every image, many tie at
0 or 1, which moves the value by up to a tenth of a point.
"""

from __future__ import annotations

from promptbench.api import Answers, Metric
from promptbench.metrics._pairs import in_order


class AurocBaseNew(Metric):
    """AUROC of base against new images in percent."""

    title = "AUROC of base against new"
    short = "AUROC"
    unit = "%"
    bounds = (0.0, 100.0)
    perfect = 100.0
    needs = "mass"
    pooled = True

    def value(self, answers: Answers) -> float | None:
        """Return the share of pairs; None without images of both kinds."""
        share = in_order(answers)
        return None if share is None else 100 * share
