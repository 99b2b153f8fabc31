"""MMRL++ (Guo et al., arXiv 2505.10088): parameter-efficient representation tokens, decoupled.

MMRL with a shared residual representation aligner (SRRA) in place of one full map per block,

    token_i = (S + A_i Z_i) R + b_i,

progressive composition (PRC) of each block's tokens with what the previous block put out,

    token <- beta token_i + (1 - beta) token,

and a low-rank W_r = W + A Z. The loss is that of `RepresentationMethod`, as MMRL's.

Paradigm: decoupled. Data beyond the few shots: none. It learns 813,312 parameters on ViT-B/16 with
the paper's settings.

Inference: the unified rule is alpha * logits_c + (1 - alpha) * logits_r for every sample. The
paper's decoupled rule, which needs to know where a sample comes from, is `logits_decoupled`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from promptbench.api import ClassSet, CountOrZero, Share, Towers, edits
from promptbench.methods._representation import (
    DecoupledInference,
    RepresentationMethod,
    SharedResidualAligner,
    low_rank,
)


class MMRLppNetwork(RepresentationMethod):
    """The network of MMRL++, which AlignedNorm trains with two more losses.

    Args:
        beta: share of a block's own tokens in progressive composition.
        token_rank: rank of a block's residual in SRRA.
        proj_rank: rank of W_r - W.
        shared: see `RepresentationMethod`.
    """

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        beta: Share = 0.9,
        token_rank: CountOrZero = 4,
        proj_rank: CountOrZero = 64,
        **shared: Any,
    ) -> None:
        super().__init__(towers, classes, **shared)
        self.beta = beta
        text, image, width = towers.text, towers.image, self.bank.shape[1]
        self.text_aligner = SharedResidualAligner(width, text.width, len(self.layers), token_rank)
        self.image_aligner = SharedResidualAligner(width, image.width, len(self.layers), token_rank)
        a, z = low_rank(image.width, proj_rank, towers.embed_dim)
        self.proj_A, self.proj_Z = nn.Parameter(a), nn.Parameter(z)

    def text_tokens(self) -> Tensor:
        tokens: Tensor = self.text_aligner(self.bank)
        return tokens

    def image_tokens(self) -> Tensor:
        tokens: Tensor = self.image_aligner(self.bank)
        return tokens

    def rep_projection(self) -> Tensor:
        return self.towers.image.projection + self.proj_A @ self.proj_Z

    def compose(self, sequence: Tensor, tokens: Tensor) -> Tensor:
        """PRC: beta * tokens + (1 - beta) * what the previous block put out there."""
        return edits.mix(sequence, tokens, self.beta)


class MMRLpp(MMRLppNetwork, DecoupledInference):
    """MMRL++; its parameters are those of `MMRLppNetwork`."""

    title = "MMRL++"
    paper = "arXiv 2505.10088"
    paradigm = "decoupled"
    vit_b16_parameters = 813_312
    equations_from = "the paper; code yunncheng/MMRL@27d8821"
    equals = "reference code"
