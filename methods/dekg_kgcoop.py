"""DeKg on KgCoOp (ICLR 2025, OpenReview 6wOmHdwCC4): guided by the frozen text, and independent.

KgCoOp's loss and W2 HSIC(f_t, f_t0): the learned class features are held to the frozen ones in
direction, CE + W (1 - mean cos(f_t, f_t0)), and the dependence between the two sets of features,
tr(H K H K0) of their linear kernels, is made small. Both are normalised; the kernels are of the
whole matrices divided by their Frobenius norms.

Paradigm: end-to-end. Data beyond the few shots: none. It learns 2,048 parameters on ViT-B/16
(4 tokens).
"""

from __future__ import annotations

from promptbench.methods._divergence import Diverging
from promptbench.methods.kgcoop import KgCoOp


class DeKgKgCoOp(Diverging, KgCoOp):
    """DeKg on KgCoOp; its parameters are those of `Diverging` and `KgCoOp`."""

    title = "KgCoOp+DeKg"
    paper = "ICLR 2025"
    paradigm = "end-to-end"
    vit_b16_parameters = 2_048
    equations_from = "the paper; code cnunlp/DeKg@b8f2f1c"
    equals = "reference code"
