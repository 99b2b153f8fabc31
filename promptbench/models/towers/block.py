"""One residual attention block of a CLIP tower, as a function of open_clip's weights.

The same numbers as open_clip's module, on packed tokens (`promptbench.models.towers.layout`). What
the module cannot do and training needs: attention per group of sequences without a mask, queries
and MLP at some positions only, and a QuickGELU of one pass that keeps one tensor for backward.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.errors import UserError
from promptbench.models.towers.layout import Layout, Reading

_QUICK = 1.702  # QuickGELU: x * sigmoid(1.702 x)


class Block(NamedTuple):
    """Weights of a block, by reference, and the facts that its computation depends on."""

    ln_1: nn.LayerNorm
    attn: nn.MultiheadAttention
    ls_1: nn.Module
    ln_2: nn.LayerNorm
    fc: nn.Linear
    proj: nn.Linear
    ls_2: nn.Module
    quick: bool
    causal: bool

    @classmethod
    def of(cls, module: Any, causal: bool) -> Block:
        """The block of an open_clip module.

        Raises:
            UserError: an activation other than GELU and QuickGELU.
        """
        activation = type(module.mlp.gelu).__name__
        if activation not in ("QuickGELU", "GELU"):
            raise UserError(f"towers with the activation {activation} are not supported")
        return cls(
            module.ln_1,
            module.attn,
            module.ls_1,
            module.ln_2,
            module.mlp.c_fc,
            module.mlp.c_proj,
            module.ls_2,
            activation == "QuickGELU",
            causal,
        )


def run(block: Block, x: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Output and attention branch, both [n_tokens, width], of packed tokens."""
    attn = block.attn
    qkv = F.linear(_norm(block.ln_1, x), attn.in_proj_weight, attn.in_proj_bias)
    heads = attn.num_heads
    parts = []
    for group, rows in zip(layout.groups, layout.split(qkv), strict=True):
        q, k, v = rows.view(group.count, group.length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=block.causal)
        parts.append(seen.transpose(1, 2).reshape(group.count * group.length, -1))
    return _residual(block, x, parts)


def read(block: Block, x: Tensor, layout: Layout, reading: Reading) -> tuple[Tensor, Tensor]:
    """`run` only at the positions read: keys and values of all tokens, the rest of those.

    Both results are [n, per, width], in the order of the sequences.
    """
    attn = block.attn
    width, heads, per = x.shape[-1], attn.num_heads, reading.per
    normed = _norm(block.ln_1, x)
    weight, bias = attn.in_proj_weight, attn.in_proj_bias
    kv = F.linear(normed, weight[width:], bias[width:])
    queries = F.linear(reading.moves(normed), weight[:width], bias[:width])
    parts = []
    for group, rows, asked, mask in zip(
        layout.groups,
        layout.split(kv),
        queries.split([g.count * per for g in layout.groups]),
        reading.masks,
        strict=True,
    ):
        k, v = rows.view(group.count, group.length, 2, heads, -1).permute(2, 0, 3, 1, 4)
        q = asked.view(group.count, per, heads, -1).transpose(1, 2)
        causal = reading.causal and mask is None
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        parts.append(seen.transpose(1, 2).reshape(group.count * per, -1))
    output, attended = _residual(block, reading.moves(x), parts)
    return reading.ordered(output), reading.ordered(attended)


class View(NamedTuple):
    """All of a block on whole sequences: output and attention branch [n, length, width], and the
    attention weights [n, heads, length, length] in float32 whose rows sum to 1."""

    output: Tensor
    attended: Tensor
    weights: Tensor


def view(block: Block, x: Tensor) -> View:
    """`run` on sequences x [n, length, width], with its attention written out.

    Queries, keys and values are the block's own, in its dtype; the softmax is in float32, as in the
    fused kernels. The branch and the output follow from these very weights.
    """
    n, length, width = x.shape
    attn = block.attn
    qkv = F.linear(_norm(block.ln_1, x), attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = qkv.view(n, length, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
    with torch.autocast(x.device.type, enabled=False):
        scores = q.float() @ k.float().mT * q.shape[-1] ** -0.5
        if block.causal:
            ahead = torch.ones(length, length, dtype=torch.bool, device=x.device).triu_(1)
            scores = scores.masked_fill(ahead, -torch.inf)
        weights = scores.softmax(dim=-1)
        seen = (weights.to(v.dtype) @ v).transpose(1, 2).reshape(n * length, width)
    output, attended = _residual(block, x.reshape(n * length, width), [seen])
    return View(output.view(n, length, width), attended.view(n, length, width), weights)


def _residual(block: Block, x: Tensor, attention: list[Tensor]) -> tuple[Tensor, Tensor]:
    seen = attention[0] if len(attention) == 1 else torch.cat(attention)
    attended = block.ls_1(block.attn.out_proj(seen))
    x = x + attended
    return x + block.ls_2(_mlp(block, _norm(block.ln_2, x))), attended


def _mlp(block: Block, x: Tensor) -> Tensor:
    if not block.quick:
        return F.linear(F.gelu(block.fc(x)), block.proj.weight, block.proj.bias)
    # x sigmoid(ax) = silu(ax) / a; both factors ride on the matrix products.
    fc, proj = block.fc, block.proj
    inner = torch.addmm(fc.bias, x, fc.weight.t(), beta=_QUICK, alpha=_QUICK)
    return torch.addmm(proj.bias, F.silu(inner), proj.weight.t(), alpha=1 / _QUICK)


def _norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Layer norm in the dtype of its input; autocast would widen it."""
    normed = F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return normed.to(x.dtype)
