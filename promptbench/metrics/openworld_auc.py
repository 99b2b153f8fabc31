"""OpenworldAUC: telling base from new images and classifying both, in one number.

Definition: of all pairs of an image of a base (learned) class and one of a new class, the share in
which the base image is classified correctly among the base names, the new one among the new names,
and the base image has the higher score r of the detector: E[ [y_b = g(x_b)] [r(x_b) > r(x_n)] [y_n
= h(x_n)] ]. Source: Hua et al., "OpenworldAUC: Towards Unified Evaluation and Optimization for
Open-world Prompt Tuning" (ICML 2025, arXiv 2505.05180). It does not depend on how many images of
each half there are. Higher is better; over datasets the arithmetic mean, each counting once.

Two choices are ours. The detector r is the probability mass on the base names, of the method's own
logits over all names: methods that train a detector beside their classifier have no place for it
here. Equal scores count half, as in the AUROC, which this is where all images are classified
correctly. Not defined where the names of base and new classes do not compete.
"""

from __future__ import annotations

from promptbench.api import Answers, Metric
from promptbench.metrics._pairs import in_order


class OpenworldAuc(Metric):
    """OpenworldAUC in percent."""

    title = "OpenworldAUC"
    short = "OpenworldAUC"
    unit = "%"
    bounds = (0.0, 100.0)
    perfect = 100.0
    needs = "mass"
    pooled = True

    def value(self, answers: Answers) -> float | None:
        """Return the share of pairs; None without images of both kinds."""
        share = in_order(answers, answers.own)
        return None if share is None else 100 * share
