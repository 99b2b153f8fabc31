"""AlignedNorm (ICML 2026): MMRL++'s network with aligned norms, coupled.

Same parameters, same forward pass and same inference cost as MMRL++. Two training losses hold the
norms of the representation side to the model's own CLS norm of that moment:

    L_token = mean over blocks i of J and tokens k of |p_ik - c_i|
    L_proj  = mean over the batch of | ||f_r|| - ||f_c|| |

where p_ik and c_i are batch means of token and CLS norms after block i, and the CLS side is
detached. One inference rule serves all samples: alpha * logits_c + (1 - alpha) * logits_r.

Paradigm: coupled. Data beyond the few shots: none. It learns 813,312 parameters on ViT-B/16 with
the paper's settings, as many as MMRL++.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from promptbench.api import Capture, ClassSet, Towers, Weight
from promptbench.methods._representation import ImageFeatures
from promptbench.methods.mmrlpp import MMRLppNetwork


def token_norm_gap(blocks: Sequence[Tensor], n_tokens: int) -> Tensor:
    """mean_{i,k} |p_ik - c_i| of activations [batch, length, width], one per block.

    Norms are averaged over the batch first, then compared; CLS norms carry no gradient.
    """
    norms: Tensor = torch.stack(
        [x[:, : 1 + n_tokens].float().norm(dim=-1).mean(dim=0) for x in blocks]
    )
    gaps = norms[:, 1:] - norms[:, :1].detach()
    return gaps.abs().mean()


def feature_norm_gap(rep: Tensor, cls: Tensor) -> Tensor:
    """mean over the batch of | ||rep|| - ||cls|| |, the CLS side detached."""
    gaps: Tensor = rep.float().norm(dim=-1) - cls.float().norm(dim=-1).detach()
    return gaps.abs().mean()


class AlignedNorm(MMRLppNetwork):
    """AlignedNorm.

    Args:
        w_token: weight of L_token (the reference's SEQ_NORM).
        w_proj: weight of L_proj (the reference's FINAL_NORM).
        network: see `MMRLppNetwork`.
    """

    title = "AlignedNorm"
    paper = "ICML 2026"
    paradigm = "coupled"
    vit_b16_parameters = 813_312
    equations_from = "the paper; code QByteM/AlignedNorm@2204197"
    equals = "reference code"

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        *,
        w_token: Weight = 0.1,
        w_proj: Weight = 0.1,
        **network: Any,
    ) -> None:
        super().__init__(towers, classes, **network)
        self.w_token, self.w_proj = w_token, w_proj

    @property
    def watched(self) -> Sequence[int]:
        return self.layers

    def norm_terms(self, features: ImageFeatures, capture: Capture) -> dict[str, Tensor]:
        outputs = [capture.outputs[block] for block in self.layers]
        attention = [capture.attention[block] for block in self.layers]
        with torch.no_grad():
            monitored = {
                "attention_norm": token_norm_gap(attention, self.n_tokens),
                "post_norm": feature_norm_gap(features.rep_normed, features.cls_normed),
            }
        return {
            "token_norm": token_norm_gap(outputs, self.n_tokens),
            "proj_norm": feature_norm_gap(features.rep, features.cls),
            **monitored,
        }

    @property
    def loss_weights(self) -> Mapping[str, float]:
        return {
            **super().loss_weights,
            "token_norm": self.w_token,
            "proj_norm": self.w_proj,
            "attention_norm": 0.0,
            "post_norm": 0.0,
        }
