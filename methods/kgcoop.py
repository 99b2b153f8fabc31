"""KgCoOp (Yao et al., arXiv 2303.13283): CoOp held to the frozen class features.

CoOp with the loss CE + W (1 - mean cos(f_t, f_t0)) where f_t0 are the frozen text features
of the dataset's template; of DTD its code has another one than the field's zero-shot CLIP.

Paradigm: end-to-end. Data beyond the few shots: none. It learns 2,048 parameters on ViT-B/16 with
M = 4.
"""

from __future__ import annotations

from promptbench.methods._guided import GuidedMethod
from promptbench.methods.coop import CoOpNetwork


class KgCoOp(GuidedMethod, CoOpNetwork):
    """Knowledge-guided context optimisation: weight W is `w_guide`.

    Its parameters are those of `GuidedMethod` and, for the context, of `CoOpNetwork`.
    """

    title = "KgCoOp"
    paper = "arXiv 2303.13283"
    paradigm = "end-to-end"
    vit_b16_parameters = 2_048
    equations_from = "the paper; code htyao89/KgCoOp@c43ccc3"
    equals = "reference code"
