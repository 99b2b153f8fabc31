"""MMA, the multi-modal adapter (Yang et al., CVPR 2024): a branch beside the upper blocks.

In blocks k..K of both towers, with x what enters the block and LN its own frozen first norm,

    block(x) + sigma * U relu(M relu(D LN(x))).

D [m, width] and U [width, m] belong to tower and block; M [m, m] belongs to the block, and both
towers share it: that is what couples them. The loss is the cross-entropy of
logit_scale * cos(f_v, f_t) over the prompts "a photo of a {name}.".

The gradient is rescaled, which is part of the method: at the output of the branch it is multiplied
by 1 / sigma and at its input by sigma. Values and the gradient that leaves toward x stay as they
are, but D, M and U receive the gradients of a branch without sigma, here 1,000 times those of the
equation; at the equation's own SGD would not move them. As the code allows, k = 0 adds index 0,
which acts on the embedded tokens (of a text before its positions, of an image after ln_pre) without
norm and without that rule.

Unlike the code this computes the text features of each evaluation again. One prompt serves all
datasets, as in the code. U starts at random, so that the first step is not zero-shot CLIP.

Paradigm: end-to-end. Data beyond the few shots: none. It learns 674,560 parameters on ViT-B/16 with
the paper's settings.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.api import (
    ClassSet,
    Count,
    CountOrZero,
    Delta,
    Deltas,
    Edits,
    Towers,
    UserError,
    Weight,
    unit,
)
from promptbench.methods._context import prompted
from promptbench.methods._cosine import CosineMethod


class Factors(torch.autograd.Function):
    """x times one factor forward, and the gradient times another backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: float, backward: float) -> Tensor:
        ctx.factor = backward
        return x.view_as(x) if forward == 1.0 else forward * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient if ctx.factor == 1.0 else ctx.factor * gradient, None, None


class Maps(nn.Module):
    """Affine maps of n blocks, weights [n, d_out, d_in] Kaiming-normal (fan out), biases zero."""

    def __init__(self, n: int, d_in: int, d_out: int) -> None:
        super().__init__()
        weights = [torch.empty(d_out, d_in) for _ in range(n)]
        for weight in weights:
            nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
        self.weight = nn.Parameter(torch.stack(weights))
        self.bias = nn.Parameter(torch.zeros(n, d_out))

    def forward(self, x: Tensor, i: int) -> Tensor:
        """Map i of x [..., d_in]."""
        return F.linear(x, self.weight[i], self.bias[i])


class MMA(CosineMethod):
    """Adapters beside the upper blocks of both towers, coupled by a shared layer.

    Args:
        dim: m, the width inside an adapter.
        scale: sigma.
        first: k, the first block with an adapter, from 1; 0 adds the embedded tokens.
        last: K, the last block with an adapter.
        prompt: the fixed words before a class name.
    """

    title = "MMA"
    paper = "CVPR 2024"
    paradigm = "end-to-end"
    needs = ("image_blocks", "text_blocks")
    vit_b16_parameters = 674_560
    equations_from = "the paper; code ZjjConan/VLM-MultiModalAdapter@c3d0bc2"
    equals = "reference code"
    steady = True

    def __init__(
        self,
        towers: Towers,
        classes: ClassSet,
        dim: Count = 32,
        scale: Weight = 0.001,
        first: CountOrZero = 5,
        last: Count = 12,
        prompt: str = "a photo of a",
    ) -> None:
        super().__init__(towers, classes)
        if last < first:
            raise UserError(f"adapters from block {first} to {last}: there is none; raise last")
        self.scale, self.prompt = scale, prompt
        self.numbers = tuple(range(first, last + 1))
        n, text, image = len(self.numbers), towers.text.width, towers.image.width
        self.text_down, self.text_up = Maps(n, text, dim), Maps(n, dim, text)
        self.image_down, self.image_up = Maps(n, image, dim), Maps(n, dim, image)
        self.shared = Maps(n, dim, dim)

    def _adapter(self, x: Tensor, i: int, down: Maps, up: Maps) -> Tensor:
        """U relu(M relu(D x)), without sigma."""
        inner = torch.relu(self.shared(torch.relu(down(x, i)), i))
        outer: Tensor = up(inner, i)
        return outer

    def _beside(self, normed: Tensor, i: int, down: Maps, up: Maps) -> Tensor:
        """The branch of a block, with its rule for the gradient."""
        branch = self._adapter(Factors.apply(normed, 1.0, self.scale), i, down, up)
        scaled: Tensor = Factors.apply(branch, self.scale, 1.0)
        return scaled

    def _added(self, x: Tensor, down: Maps, up: Maps) -> Tensor:
        """The tokens with the adapter of index 0."""
        return x + self.scale * self._adapter(x, 0, down, up)

    def _deltas(self, down: Maps, up: Maps) -> Deltas:
        places = [(i, number) for i, number in enumerate(self.numbers) if number]
        return {
            number: Delta(beside=partial(self._beside, i=i, down=down, up=up))
            for i, number in places
        }

    def image_edits(self) -> Edits | None:
        if self.numbers[0]:
            return None
        return {1: partial(self._added, down=self.image_down, up=self.image_up)}

    def image_deltas(self) -> Deltas:
        return self._deltas(self.image_down, self.image_up)

    def text_features(self, classes: ClassSet) -> Tensor:
        text, maps = self.towers.text, (self.text_down, self.text_up)
        edits = None if self.numbers[0] else {0: partial(self._added, down=maps[0], up=maps[1])}
        prompts = text.tokens(prompted(classes.words, 0, self.prompt))
        return unit(text.features(prompts, edits, self._deltas(*maps)))
