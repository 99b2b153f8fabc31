"""One residual attention block of a CLIP tower, as a function of open_clip's weights.

The same numbers as open_clip's module, on packed tokens (`promptbench.models.towers.layout`). What
the module cannot do and training needs: attention per group of sequences without a mask, queries
and MLP at some positions only, a QuickGELU of one pass that keeps one tensor for backward, and
deltas (`promptbench.models.deltas`), which never touch a weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptbench.errors import UserError
from promptbench.models.deltas import NONE, Affine, Delta, PerToken, plus
from promptbench.models.towers.layout import Layout, Reading

_QUICK = 1.702  # QuickGELU: x * sigmoid(1.702 x)


class Heads(NamedTuple):
    """Attention weights by the names that `nn.MultiheadAttention` has for them."""

    in_proj_weight: Tensor
    in_proj_bias: Tensor
    out_proj: nn.Linear
    num_heads: int


class Block(NamedTuple):
    """Weights of a block, by reference, and the facts that its computation depends on.

    `approximate` is how GELU is computed, "none" or "tanh".
    """

    ln_1: nn.LayerNorm
    attn: nn.MultiheadAttention | Heads
    ls_1: nn.Module
    ln_2: nn.LayerNorm
    fc: nn.Linear
    proj: nn.Linear
    ls_2: nn.Module
    quick: bool
    causal: bool

    approximate: str = "none"

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
            getattr(module.mlp.gelu, "approximate", "none"),
        )

    @classmethod
    def of_timm(cls, module: Any) -> Block:
        """The block of a vision transformer of timm, one that `is_plain`."""
        attn, mlp = module.attn, module.mlp
        heads = Heads(attn.qkv.weight, attn.qkv.bias, attn.proj, attn.num_heads)
        activation = type(mlp.act).__name__
        tanh = activation == "GELUTanh" or getattr(mlp.act, "approximate", "none") == "tanh"
        return cls(
            module.norm1,
            heads,
            module.ls1,
            module.norm2,
            mlp.fc1,
            mlp.fc2,
            module.ls2,
            activation == "QuickGELU",
            causal=False,
            approximate="tanh" if tanh else "none",
        )


def is_plain(module: Any) -> bool:
    """Whether a block computes what `run` does: of open_clip or timm, attention and an MLP behind
    layer norms, with GELU or QuickGELU and nothing else."""
    if type(module).__name__ == "ResidualAttentionBlock":
        return type(module.mlp.gelu).__name__ in ("QuickGELU", "GELU")
    if type(module).__name__ != "Block" or type(module.attn).__name__ != "Attention":
        return False
    attn, mlp = module.attn, module.mlp
    usual = (attn.q_norm, attn.k_norm, getattr(attn, "norm", None), getattr(mlp, "norm", None))
    return (
        type(mlp).__name__ == "Mlp"
        and type(mlp.act).__name__ in ("QuickGELU", "GELU", "GELUTanh")
        and attn.qkv.bias is not None
        and getattr(attn, "gate", None) is None
        and all(part is None or isinstance(part, nn.Identity) for part in usual)
        and all(isinstance(norm, nn.LayerNorm) for norm in (module.norm1, module.norm2))
    )


def weights(block: Block) -> dict[str, tuple[Tensor, Tensor]]:
    """Copies of a block's weights and biases, float32, by the names of `Delta`."""
    attn = block.attn
    maps = zip(attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3), strict=True)
    found = dict(zip(("q", "k", "v"), maps, strict=True))
    parts = {"out": attn.out_proj, "fc": block.fc, "proj": block.proj}
    for name, part in (parts | {"ln_1": block.ln_1, "ln_2": block.ln_2}).items():
        found[name] = (part.weight, part.bias)
    return {name: (_copy(weight), _copy(bias)) for name, (weight, bias) in found.items()}


def _copy(weight: Tensor) -> Tensor:
    return weight.detach().to(torch.float32, copy=True)


def run(block: Block, x: Tensor, layout: Layout, delta: Delta = NONE) -> tuple[Tensor, Tensor]:
    """Output and attention branch, both [n_tokens, width], of packed tokens."""
    attn = block.attn
    normed = _norm(block.ln_1, x, delta.ln_1)
    qkv = F.linear(normed, attn.in_proj_weight, attn.in_proj_bias)
    qkv = _each_plus(qkv, normed, {"q": delta.q, "k": delta.k, "v": delta.v})
    heads = attn.num_heads
    split = layout.split(qkv)
    if layout.opening:
        return _residual(block, x, normed, _behind_opening(split, layout, heads), delta)
    parts = []
    for group, rows in zip(layout.groups, split, strict=True):
        q, k, v = rows.view(group.count, group.length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=block.causal)
        parts.append(seen.transpose(1, 2).reshape(group.count * group.length, -1))
    return _residual(block, x, normed, parts, delta)


def _behind_opening(split: Sequence[Tensor], layout: Layout, heads: int) -> list[Tensor]:
    """What the tokens of an opening see, and those of each group, which see it as well."""
    opening, *own = split
    q, *common = opening.view(1, layout.opening, 3, heads, -1).permute(2, 0, 3, 1, 4)
    seen = F.scaled_dot_product_attention(q, common[0], common[1], is_causal=True)
    parts = [seen.transpose(1, 2).reshape(layout.opening, -1)]
    for group, rows, sight in zip(layout.groups, own, layout.sights, strict=True):
        q, *keys = rows.view(group.count, group.length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        k, v = _after(common, keys)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=sight)
        parts.append(seen.transpose(1, 2).reshape(group.count * group.length, -1))
    return parts


def _after(common: Sequence[Tensor], own: Sequence[Tensor]) -> list[Tensor]:
    """Keys and values [count, heads, length, head width] of an opening before those of a group."""
    return [
        torch.cat([opening.expand(len(part), -1, -1, -1), part], dim=2)
        for opening, part in zip(common, own, strict=True)
    ]


def read(
    block: Block, x: Tensor, layout: Layout, reading: Reading, delta: Delta = NONE
) -> tuple[Tensor, Tensor]:
    """`run` only at the positions read: keys and values of all tokens, the rest of those.

    Both results are [n, per, width], in the order of the sequences.
    """
    attn = block.attn
    width, heads, per = x.shape[-1], attn.num_heads, reading.per
    normed = _norm(block.ln_1, x, delta.ln_1)
    weight, bias = attn.in_proj_weight, attn.in_proj_bias
    kv = F.linear(normed, weight[width:], bias[width:])
    kv = _each_plus(kv, normed, {"k": delta.k, "v": delta.v})
    asking = reading.moves(normed)
    queries = plus(F.linear(asking, weight[:width], bias[:width]), delta.q, asking, "q")
    split = layout.split(kv)
    common: Sequence[Tensor] = ()
    if layout.opening:
        common = split[0].view(1, layout.opening, 2, heads, -1).permute(2, 0, 3, 1, 4).unbind()
        split = split[1:]
    parts = []
    for group, rows, asked, mask in zip(
        layout.groups,
        split,
        queries.split([g.count * per for g in layout.groups]),
        reading.masks,
        strict=True,
    ):
        k, v = rows.view(group.count, group.length, 2, heads, -1).permute(2, 0, 3, 1, 4)
        if common:
            k, v = _after(common, (k, v))
        q = asked.view(group.count, per, heads, -1).transpose(1, 2)
        causal = reading.causal and mask is None
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        parts.append(seen.transpose(1, 2).reshape(group.count * per, -1))
    output, attended = _residual(block, reading.moves(x), asking, parts, delta)
    return reading.ordered(output), reading.ordered(attended)


class View(NamedTuple):
    """All of a block on whole sequences: output and attention branch [n, length, width], and the
    attention weights [n, heads, length, length] in float32 whose rows sum to 1."""

    output: Tensor
    attended: Tensor
    weights: Tensor


def view(block: Block, x: Tensor, delta: Delta = NONE) -> View:
    """`run` on sequences x [n, length, width], with its attention written out.

    Queries, keys and values are the block's own, in its dtype; the softmax is in float32, as in the
    fused kernels. The branch and the output follow from these very weights.
    """
    n, length, width = x.shape
    attn = block.attn
    rows = x.reshape(n * length, width)
    normed = _norm(block.ln_1, rows, delta.ln_1)
    qkv = F.linear(normed, attn.in_proj_weight, attn.in_proj_bias)
    qkv = _each_plus(qkv, normed, {"q": delta.q, "k": delta.k, "v": delta.v})
    q, k, v = qkv.view(n, length, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
    with torch.autocast(x.device.type, enabled=False):
        scores = q.float() @ k.float().mT * q.shape[-1] ** -0.5
        if block.causal:
            ahead = torch.ones(length, length, dtype=torch.bool, device=x.device).triu_(1)
            scores = scores.masked_fill(ahead, -torch.inf)
        weights = scores.softmax(dim=-1)
        seen = (weights.to(v.dtype) @ v).transpose(1, 2).reshape(n * length, width)
    output, attended = _residual(block, rows, normed, [seen], delta)
    return View(output.view(n, length, width), attended.view(n, length, width), weights)


def _residual(
    block: Block, x: Tensor, normed: Tensor, attention: list[Tensor], delta: Delta
) -> tuple[Tensor, Tensor]:
    """Output and attention branch of the rows x, given what their heads have seen."""
    seen = attention[0] if len(attention) == 1 else torch.cat(attention)
    attended = block.ls_1(plus(block.attn.out_proj(seen), delta.out, seen, "out"))
    stream = x + attended
    output = stream + block.ls_2(_mlp(block, _norm(block.ln_2, stream, delta.ln_2), delta))
    return plus(output, delta.beside, normed, "beside"), attended


def _mlp(block: Block, x: Tensor, delta: Delta) -> Tensor:
    fc, proj = block.fc, block.proj
    if not block.quick:
        inner = F.gelu(plus(fc(x), delta.fc, x, "fc"), approximate=block.approximate)
        return plus(F.linear(inner, proj.weight, proj.bias), delta.proj, inner, "proj")
    # x sigmoid(ax) = silu(ax) / a; both factors ride on the matrix products.
    inner = torch.addmm(fc.bias, x, fc.weight.t(), beta=_QUICK, alpha=_QUICK)
    if delta.fc is not None:
        inner = plus(inner, partial(_quickened, function=delta.fc), x, "fc")
    active = F.silu(inner)
    output = torch.addmm(proj.bias, active, proj.weight.t(), alpha=1 / _QUICK)
    return output if delta.proj is None else plus(output, delta.proj, active / _QUICK, "proj")


def _quickened(x: Tensor, function: PerToken) -> Tensor:
    return _QUICK * function(x)


def _each_plus(product: Tensor, given: Tensor, additions: Mapping[str, PerToken | None]) -> Tensor:
    """A product of several maps side by side, each with its addition."""
    if all(addition is None for addition in additions.values()):
        return product
    parts = product.chunk(len(additions), dim=-1)
    named = zip(parts, additions.items(), strict=True)
    return torch.cat([plus(part, add, given, name) for part, (name, add) in named], dim=-1)


def _norm(norm: nn.LayerNorm, x: Tensor, delta: Affine | None) -> Tensor:
    """Layer norm in the dtype of its input; autocast would widen it."""
    weight: Tensor = norm.weight
    bias: Tensor = norm.bias
    if delta is not None:
        weight = weight if delta.scale is None else weight + delta.scale.to(weight.dtype)
        bias = bias if delta.shift is None else bias + delta.shift.to(bias.dtype)
    normed = F.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)
    return normed.to(x.dtype)
