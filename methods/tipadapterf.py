"""Tip-Adapter-F (Zhang et al., arXiv 2111.03930, 2207.09519): Tip-Adapter with trained keys.

The keys of Tip-Adapter's cache are where training starts; they are not normalised again. Values and
text features stay. The loss is the cross-entropy of the same logits with the same ALPHA and BETA.

Rulings: the last epoch is scored, with the released code's initial ALPHA and BETA. The code takes
the epoch that is best on the test set, searches both scales afterwards (validation split; ImageNet:
test set) and reports the larger of the two test accuracies; the paper's rows have that.

Paradigm: feature space. Data beyond the few shots: none. It learns 512 parameters per training
image on ViT-B/16 (8,192,000 on ImageNet with 16 shots).
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from promptbench.methods._cache import CacheMethod


class TipAdapterF(CacheMethod):
    """The cache with trained keys; its parameters are those of `CacheMethod`."""

    title = "Tip-Adapter-F"
    paper = "arXiv 2111.03930"
    paradigm = "feature space"
    vit_b16_parameters = 8_192_000
    equations_from = "the paper; code gaopengcuhk/Tip-Adapter@d0e2d6f"
    equals = "reference code"
    steady = True

    def start_from(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        self.fill(batches)
