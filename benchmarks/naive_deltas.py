"""The naive paths of methods that change blocks: plain modules in place of open_clip's.

As in their references, every block of both towers runs over all positions, in plain modules that
hold the frozen weights and what is learned beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.core.method import unit

Loss = Callable[[Tensor, Tensor], Tensor]
Blocks = list[nn.Module]


class LowRankBlock(nn.Module):
    """A block whose queries, keys and values are linear maps of their own with low-rank maps beside
    them."""

    def __init__(self, block: Any, factors: dict[str, tuple[Tensor, Tensor]], scale: float) -> None:
        super().__init__()
        self.block, self.factors, self.scale = block, factors, scale

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        attn, normed = self.block.attn, self.block.ln_1(x)
        heads = []
        weights = zip("qkv", attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3), strict=True)
        for name, weight, bias in weights:
            a, b = self.factors[name]
            mapped = F.linear(normed, weight, bias) + self.scale * F.linear(F.linear(normed, a), b)
            heads.append(mapped.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2))
        q, k, v = heads
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        x = x + attn.out_proj(seen.transpose(1, 2).flatten(2))
        return x + self.block.mlp(self.block.ln_2(x))


class AdaptedBlock(nn.Module):
    """A block with an adapter beside it, and the gradient that its released code gives it."""

    def __init__(self, block: Any, adapter: Callable[[Tensor], Tensor], scale: float) -> None:
        super().__init__()
        self.block, self.adapter, self.scale = block, adapter, scale

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        inner = _Gradient.apply(x, self.scale)
        branch = self.scale * self.adapter(self.block.ln_1(inner))
        return self.block(x, attn_mask=attn_mask) + _Gradient.apply(branch, 1 / self.scale)


class TunedBlock(nn.Module):
    """A block with norms of its own."""

    def __init__(self, block: Any, norms: dict[str, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.block, self.norms = block, norms

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        normed = self._norm("ln_1", x)
        x = x + self.block.attn(normed, normed, normed, need_weights=False, attn_mask=attn_mask)[0]
        return x + self.block.mlp(self._norm("ln_2", x))

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.norms[name]
        return F.layer_norm(x, weight.shape, weight, bias, getattr(self.block, name).eps)


class _Gradient(torch.autograd.Function):
    """A tensor as it is, and its gradient times a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.factor * gradient, None


def cliplora(method: Any) -> Loss:
    """The loss of low-rank adaptation, without dropout: the two paths would draw other masks.

    The method is left in evaluation mode, and with factors that are not zero.
    """
    method.eval()
    with torch.no_grad():
        for name, parameter in method.named_parameters():
            if ".up." in name:
                parameter.normal_(std=0.02)

    def block_of(module: Any, side: str, number: int) -> nn.Module:
        own = method.low_rank[side]
        keys = {name: f"{number}_{name}" for name in "qkv"}
        factors = {name: (own.down[key], own.up[key]) for name, key in keys.items()}
        return LowRankBlock(module, factors, method.scale)

    return _loss(method, block_of, 100.0)


def mma(method: Any) -> Loss:
    """The loss of adapters beside the upper blocks of both towers."""
    maps = {
        "text": (method.text_down, method.text_up),
        "image": (method.image_down, method.image_up),
    }

    def adapter(x: Tensor, i: int, down: Any, up: Any) -> Tensor:
        inner = F.relu(F.linear(x, down.weight[i], down.bias[i]))
        inner = F.relu(F.linear(inner, method.shared.weight[i], method.shared.bias[i]))
        return F.linear(inner, up.weight[i], up.bias[i])

    def block_of(module: Any, side: str, number: int) -> nn.Module:
        if number not in method.numbers:
            own: nn.Module = module
            return own
        down, up = maps[side]
        i = method.numbers.index(number)
        return AdaptedBlock(module, partial(adapter, i=i, down=down, up=up), method.scale)

    return _loss(method, block_of, method.towers.logit_scale)


def twosfs(method: Any) -> Loss:
    """The loss of tuned norms in the blocks of both towers, the first stage of the method."""

    def block_of(module: Any, side: str, number: int) -> nn.Module:
        own = method.norms[side]
        keys = {name: f"{number}_{name}" for name in ("ln_1", "ln_2")}
        return TunedBlock(module, {n: (own.weight[k], own.bias[k]) for n, k in keys.items()})

    return _loss(method, block_of, method.towers.logit_scale)


def _loss(
    method: Any, block_of: Callable[[Any, str, int], nn.Module], scale: Tensor | float
) -> Loss:
    """The cross-entropy over the cosines of both towers, with blocks in place of theirs."""
    model, visual = method.towers.model, method.towers.model.visual
    text_blocks, image_blocks = (
        [block_of(module, side, number) for number, module in enumerate(modules, 1)]
        for side, modules in (
            ("text", model.transformer.resblocks),
            ("image", visual.transformer.resblocks),
        )
    )
    texts = [f"{method.prompt} {name}." for name in method.classes.words]
    ids = method.towers.text.token_ids(texts).to(method.towers.device)
    rows = torch.arange(len(ids), device=ids.device)

    def through(x: Tensor, blocks: Blocks, mask: Tensor | None) -> Tensor:
        for block in blocks:
            x = block(x, attn_mask=mask)
        return x

    def loss(images: Tensor, labels: Tensor) -> Tensor:
        x = model.token_embedding(ids) + model.positional_embedding
        x = through(x, text_blocks, model.attn_mask)
        text = unit(model.ln_final(x)[rows, ids.argmax(dim=-1)] @ model.text_projection)
        x = through(visual._embeds(images), image_blocks, None)
        image = unit(visual.ln_post(x)[:, 0] @ visual.proj)
        return F.cross_entropy(scale * image @ text.T, labels)

    return loss
