"""DeKg on TCP (ICLR 2025, OpenReview 6wOmHdwCC4): guided by the frozen text, and independent.

TCP's loss and W2 HSIC(f_t, f_t0): the learned class features are held to the frozen ones in
direction, CE + W (1 - mean cos(f_t, f_t0)), and the dependence between the two sets of features,
tr(H K H K0) of their linear kernels, is made small. As in the released code the learned features
are those of the tower before they are normalised, the frozen ones normalised; the kernels are of
the whole matrices divided by their Frobenius norms. Its sentences are TCP's.

Paradigm: end-to-end. Data beyond the few shots: none. It learns 331,904 parameters on ViT-B/16
(4 tokens).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from promptbench.methods._divergence import Diverging
from promptbench.methods.tcp import GuidedRaw, TCPNetwork


class DeKgTCP(Diverging, TCPNetwork):
    """DeKg on TCP; its parameters are those of `Diverging` and `TCPNetwork`."""

    title = "TCP+DeKg"
    paper = "ICLR 2025"
    paradigm = "end-to-end"
    vit_b16_parameters = 331_904
    equations_from = "the paper; code cnunlp/DeKg@b8f2f1c"
    equals = "reference code"

    def learned(self, prepared: Any) -> Tensor:
        found: GuidedRaw = prepared
        return found.raw
