"""Tip-Adapter (Zhang et al., arXiv 2111.03930, 2207.09519): a cache of the training images.

Logits are 100 cos(f_v, f_t) + ALPHA exp(-BETA (1 - f_v keys^T)) values: keys are the normalised
means of the training images' frozen features over augmented passes, values their one-hot classes.
Nothing is trained by gradient. It has a cache for the classes it was trained on and no others.

Rulings: ALPHA and BETA are the released code's initial values. The code searches them on the whole
validation split, on ImageNet on the test set, and the paper's rows have that search; here a search
(`search`, off) sees only the training images, each classified by the cache of all others.

Paradigm: feature space. Data beyond the few shots: none. It keeps 512 numbers per training image on
ViT-B/16 (8,192,000 on ImageNet with 16 shots).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from promptbench.api import ClassSet, Towers, UserError, full_precision
from promptbench.methods._cache import SCALE, CacheMethod, accuracies


class TipAdapter(CacheMethod):
    """The cache as it is.

    Args:
        search: upper ends of BETA and ALPHA; empty: both stay as they are set. Otherwise the first
            best of 200 x 20 pairs on the training images, each left out of the cache in turn
            (of one image a class no other is left, and both stay).
        cache: see `CacheMethod`.

    Raises:
        UserError: a search that has not two upper ends above 0.1.
    """

    title = "Tip-Adapter"
    paper = "arXiv 2111.03930"
    paradigm = "feature space"
    vit_b16_parameters = 8_192_000
    equations_from = "the paper; code gaopengcuhk/Tip-Adapter@d0e2d6f"
    equals = "reference code"

    def __init__(
        self, towers: Towers, classes: ClassSet, *, search: Sequence[float] = (), **cache: Any
    ) -> None:
        super().__init__(towers, classes, **cache)
        if search and (len(search) != 2 or min(search) <= 0.1):
            raise UserError(
                f"TipAdapter.search = {search!r} must be empty or the upper ends of beta and "
                "alpha, each above 0.1"
            )
        self.search = tuple(search)

    @torch.no_grad()
    def solve(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        self.fill(batches)
        if not self.search or int(self.labels.bincount().max()) < 2:
            return
        own = self.prepare(self.classes)
        with full_precision(self.keys):
            others = self.affinity(self.keys).fill_diagonal_(-torch.inf)
            text_logits = SCALE * self.keys @ own.text.T
            beta, alpha = self.search
            _, best = accuracies(others, own.values, text_logits, self.labels, (beta, alpha))
        self.scales.copy_(best)
