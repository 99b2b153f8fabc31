"""MMRL (Guo et al., arXiv 2503.08497): multi-modal representation tokens, decoupled.

A shared bank R of K tokens is mapped into both towers by one affine map per block of J, T_i = A_i R
+ b_i and V_i = B_i R + c_i; each block's tokens replace what the previous block put out there. The
representation feature f_r is projected by a W_r of its own, trained from scratch. The loss is that
of `RepresentationMethod` (Eq. 10).

Paradigm: decoupled. Data beyond the few shots: none. It learns 4,992,256 parameters on ViT-B/16
with the paper's settings.

Inference: the unified rule is alpha * logits_c + (1 - alpha) * logits_r for every sample. The
paper's decoupled rule, which needs to know where a sample comes from, is `logits_decoupled`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from promptbench.api import ClassSet, Towers, edits
from promptbench.methods._representation import DecoupledInference


class BlockwiseMaps(nn.Module):
    """token_i = A_i R + b_i: one affine map per block, all starting as copies of one Linear."""

    def __init__(self, d_in: int, d_out: int, n_layers: int) -> None:
        super().__init__()
        start = nn.Linear(d_in, d_out)
        self.weight = nn.Parameter(start.weight.detach().repeat(n_layers, 1, 1))
        self.bias = nn.Parameter(start.bias.detach().repeat(n_layers, 1))

    def forward(self, bank: Tensor) -> Tensor:
        """Tokens [n_layers, K, d_out] from the bank R [K, d_in]."""
        return bank @ self.weight.mT + self.bias.unsqueeze(1)


class MMRL(DecoupledInference):
    """MMRL; its parameters are those of `RepresentationMethod`."""

    title = "MMRL"
    paper = "arXiv 2503.08497"
    paradigm = "decoupled"
    vit_b16_parameters = 4_992_256
    equations_from = "the paper, Eq. 10; code yunncheng/MMRL@27d8821"
    equals = "reference code"

    def __init__(self, towers: Towers, classes: ClassSet, **shared: Any) -> None:
        super().__init__(towers, classes, **shared)
        text, image, width = towers.text, towers.image, self.bank.shape[1]
        self.text_maps = BlockwiseMaps(width, text.width, len(self.layers))
        self.image_maps = BlockwiseMaps(width, image.width, len(self.layers))
        self.projection = nn.Parameter(
            torch.randn(image.width, towers.embed_dim) * image.width**-0.5
        )

    def text_tokens(self) -> Tensor:
        tokens: Tensor = self.text_maps(self.bank)
        return tokens

    def image_tokens(self) -> Tensor:
        tokens: Tensor = self.image_maps(self.bank)
        return tokens

    def rep_projection(self) -> Tensor:
        return self.projection

    def compose(self, sequence: Tensor, tokens: Tensor) -> Tensor:
        """A block's own tokens replace what the previous block put out there."""
        return edits.replace(sequence, tokens)
