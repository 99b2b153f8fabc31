"""Shared part: prompts of both towers that follow from each other (HiCroPL).

The equations stand in `promptbench.methods.hicropl`.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from promptbench.api import UserError, full_precision

_HEADS = 8


class Exchange(nn.Module):
    """Prompts of both towers, and the networks between them.

    Args:
        text: prompts of the text tower, [depth, n_ctx, width].
        image: what the prompts of every block of the image tower start as, [n_ctx, width].
        cross_layer: the last block whose image prompts follow from text prompts.
        as_released: replace prompts by what they are mapped to at every pass of a training; the
            networks then stay as they are drawn.
    """

    def __init__(
        self, text: nn.Parameter, image: nn.Parameter, cross_layer: int, as_released: bool
    ) -> None:
        super().__init__()
        depth, _, text_width = text.shape
        image_width = image.shape[1]
        self.text, self.image = text, nn.Parameter(image.data.repeat(depth, 1, 1))
        self.cross_layer, self.as_released = cross_layer, as_released
        self.of_text = Pooling(cross_layer, text_width)
        self.of_image = Pooling(depth - cross_layer, image_width)
        self.to_image = Mapper(text_width, image_width)
        self.to_text = Mapper(image_width, text_width)
        if as_released:
            for part in (self.of_text, self.of_image, self.to_image, self.to_text):
                _keep_as_drawn(part)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return what enters the blocks of the text and of the image tower, [depth, n_ctx, width].

        As released, a pass of a training writes it first: a step then moves what was written. One
        without gradient, or in evaluation, writes nothing.
        """
        if self.as_released and self.training and torch.is_grad_enabled():
            self.write()
            return self.text, self.image
        k, (to_image, to_text) = self.cross_layer, self.mapped()
        return torch.cat([self.text[:k], to_text]), torch.cat([to_image, self.image[k:]])

    def mapped(self) -> tuple[Tensor, Tensor]:
        """X' of both directions: image prompts of blocks 1 to k, text prompts of k + 1 to D."""
        k = self.cross_layer
        with full_precision(self.text):
            to_image = self.to_image(self.image[:k], self.of_text(self.text[:k]))
            to_text = self.to_text(self.text[k:], self.of_image(self.image[k:]))
        return to_image, to_text

    @torch.no_grad()
    def write(self) -> None:
        """Replace prompts by what they are mapped to, as a forward pass of the released code."""
        to_image, to_text = self.mapped()
        self.image[: self.cross_layer] = to_image
        self.text[self.cross_layer :] = to_text


class Pooling(nn.Module):
    """A proxy token p_i for the prompts of each block; each block has a network of its own.

    Networks and queries start as copies of one.
    """

    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, 1, width).repeat(blocks, 1, 1))
        first = _Attention(width)
        self.nets = nn.ModuleList(copy.deepcopy(first) for _ in range(blocks))

    def forward(self, prompts: Tensor) -> Tensor:
        """Return proxies [blocks, width] of prompts [blocks, n_ctx, width]."""
        parts = zip(self.nets, self.queries, prompts, strict=True)
        return torch.cat([net(query, own, own)[1] for net, query, own in parts])


class Mapper(nn.Module):
    """Prompts of one tower from proxies of the other's; no path leaves them as they are."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.linear_q = nn.Linear(target, target)
        self.linear_k = nn.Linear(source, target)
        self.linear_v = nn.Linear(source, target)
        self.net = _Attention(target)
        self.up, self.down = nn.Linear(target, 4 * target), nn.Linear(4 * target, target)

    def forward(self, prompts: Tensor, proxies: Tensor) -> Tensor:
        """Return X' [blocks, n_ctx, target] of X, prompts of that shape, and of proxies
        [others, source]."""
        queries = self.linear_q(prompts.flatten(0, 1))
        x, normed = self.net(queries, self.linear_k(proxies), self.linear_v(proxies))
        hidden: Tensor = self.up(normed)
        mapped: Tensor = x + self.down(hidden * torch.sigmoid(1.702 * hidden))  # QuickGELU
        return mapped.view_as(prompts)


class _Attention(nn.Module):
    """x = q + MHA(LN1 q, LN1 k, LN1 v) of rows [n, width], and LN2 x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % _HEADS:
            raise UserError(
                f"HiCroPL attends with {_HEADS} heads, which do not divide this backbone's width "
                f"of {width}"
            )
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, _HEADS)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        normed = (self.ln_1(rows) for rows in (query, key, value))
        x = query + self.attn(*normed, need_weights=False)[0]
        return x, self.ln_2(x)


def _keep_as_drawn(module: nn.Module) -> None:
    """Keep a module's parameters as buffers: drawn, stored, and never learned."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.data)
