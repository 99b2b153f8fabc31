"""The frozen CLIP towers: run block by block, with the token sequence edited in between.

Methods never touch open_clip. They ask a tower for the frozen tokens of texts or images, hand it
edits per block (`promptbench.edits`) and read features. From the number of the first edited block
the tower derives what it need not compute again: activations below it are computed once, without
gradient, and shared by all runs on the same tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from promptbench.compat import import_open_clip
from promptbench.edits import Edits
from promptbench.errors import UserError

_CLASS_LISTS_KEPT = 8  # tokenised class lists whose frozen activations stay in memory


class Tokens:
    """Embedded, frozen sequences, and what their tower has computed of them so far.

    `embedded` is [n, length, width]: token embeddings (text) or CLS + patches with positions
    (image). `ends` holds the EOT position of each text, [n], or None for images.
    """

    def __init__(self, embedded: Tensor, ends: Tensor | None = None) -> None:
        self.embedded = embedded
        self.ends = ends
        self.entering: dict[int, Tensor] = {}  # block number -> frozen activations entering it

    def __len__(self) -> int:
        return len(self.embedded)


class Capture:
    """Records, for the blocks asked for, the block's output and its attention branch's output.

    Both are [n, length, width]; the attention output is what the residual connection adds.
    """

    def __init__(self, blocks: Collection[int]) -> None:
        self.blocks = frozenset(blocks)
        self.outputs: dict[int, Tensor] = {}
        self.attention: dict[int, Tensor] = {}


class Tower(ABC):
    """One frozen transformer; blocks count from 1. Not a Module: no method can own its weights."""

    def __init__(self, blocks: Sequence[nn.Module], width: int) -> None:
        self._blocks = list(blocks)
        self.width = width

    @property
    def n_blocks(self) -> int:
        return len(self._blocks)

    @abstractmethod
    def _start(self, embedded: Tensor) -> Tensor:
        """What happens between the embedded sequence (where edit 0 acts) and block 1."""

    @abstractmethod
    def pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        """Projected features [n, embed_dim], not normalised, of the last block's output."""

    def _mask(self, length: int, like: Tensor) -> Tensor | None:
        return None

    def frozen(self, tokens: Tokens, block: int) -> Tensor:
        """Activations [n, length, width] entering `block` when nothing is edited; cached.

        `n_blocks + 1` gives the output of the last block. No gradient flows through them.
        """
        if block not in tokens.entering:
            # Also callable from inference mode, whose tensors training could not use later.
            with torch.inference_mode(False), torch.no_grad():
                known = max((b for b in tokens.entering if b < block), default=0)
                x = tokens.entering[known] if known else self._start(tokens.embedded)
                for number in range(max(known, 1), block):
                    x = self._run_block(number, x, None)
                tokens.entering[block] = x
        return tokens.entering[block]

    def run(
        self, tokens: Tokens, edits: Edits | None = None, capture: Capture | None = None
    ) -> Tensor:
        """The last block's output [n, length', width] with `edits` applied before their blocks.

        Edit 0 acts on the embedded sequence: text before the positional embedding, images after
        it and before ln_pre. Tokens that an edit inserts into a text must stand before its EOT.
        """
        edits = edits or {}
        beyond = set(edits) - set(range(self.n_blocks + 1))
        if beyond:
            raise UserError(f"edits of blocks {sorted(beyond)}, but the tower has {self.n_blocks}")
        first = min([*edits, *(capture.blocks if capture else ())], default=self.n_blocks + 1)
        if first == 0:
            x, first = self._start(edits[0](tokens.embedded)), 1
        else:
            x = self.frozen(tokens, first)
        for number in range(first, self.n_blocks + 1):
            if number in edits:
                x = edits[number](x)
            x = self._run_block(number, x, capture)
        return x

    def features(self, tokens: Tokens, edits: Edits | None = None) -> Tensor:
        """Projected features [n, embed_dim], not normalised."""
        return self.pool(self.run(tokens, edits), tokens)

    def _run_block(self, number: int, x: Tensor, capture: Capture | None) -> Tensor:
        block: Any = self._blocks[number - 1]
        mask = self._mask(x.shape[1], x)
        if capture is None or number not in capture.blocks:
            output: Tensor = block(x, attn_mask=mask)
            return output
        attended = block.ls_1(block.attention(block.ln_1(x), attn_mask=mask))
        x = x + attended
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
        capture.attention[number], capture.outputs[number] = attended, x
        return x


class TextTower(Tower):
    """The causal text tower, cut at the longest EOT (nothing after it can be looked at)."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model.transformer.resblocks, model.positional_embedding.shape[1])
        self._model = model
        self._tokenizer = tokenizer
        self.context_length: int = model.positional_embedding.shape[0]
        self._memo: OrderedDict[Any, Tokens] = OrderedDict()

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without SOT and EOT."""
        ids: list[int] = self._tokenizer.encode(text)
        return ids

    def token_ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids [n, context_length], zero-padded; a text that does not fit is an error."""
        rows = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            ids = [self._tokenizer.sot_token_id, *self.encode(text), self._tokenizer.eot_token_id]
            if len(ids) > self.context_length:
                raise UserError(
                    f"prompt {text!r} has {len(ids)} tokens, but the text tower reads at most "
                    f"{self.context_length}; shorten the class name, the template or the context"
                )
            row[: len(ids)] = torch.tensor(ids)
        return rows

    @torch.no_grad()
    def embed(self, words: str) -> Tensor:
        """Token embeddings [k, width] of `words`, without SOT, EOT and positions."""
        embedding = self._model.token_embedding
        ids = torch.tensor(self.encode(words), device=embedding.weight.device)
        embedded: Tensor = embedding(ids)
        return embedded

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """The frozen tokens of `texts`; a few lists are remembered with their activations."""
        weight = self._model.token_embedding.weight
        cast = torch.get_autocast_dtype(weight.device.type)
        key = (
            tuple(texts),
            weight.device,
            cast if torch.is_autocast_enabled(weight.device.type) else None,
        )
        if key not in self._memo:
            with torch.inference_mode(False), torch.no_grad():
                ids = self.token_ids(texts).to(weight.device)
                ends = ids.argmax(dim=-1)  # EOT has the largest id of the vocabulary
                used = ids[:, : int(ends.max()) + 1]
                self._memo[key] = Tokens(self._model.token_embedding(used), ends)
        self._memo.move_to_end(key)
        while len(self._memo) > _CLASS_LISTS_KEPT:
            self._memo.popitem(last=False)
        return self._memo[key]

    def forget(self) -> None:
        """Drop the remembered lists."""
        self._memo.clear()

    def _start(self, embedded: Tensor) -> Tensor:
        positions: Tensor = self._model.positional_embedding
        return embedded + positions[: embedded.shape[1]].to(embedded.dtype)

    def _mask(self, length: int, like: Tensor) -> Tensor | None:
        full = torch.full((length, length), float("-inf"), device=like.device, dtype=like.dtype)
        return full.triu_(1)

    def pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        if tokens.ends is None:
            raise ValueError("text tokens carry their EOT positions; these tokens have none")
        inserted = hidden.shape[1] - tokens.embedded.shape[1]
        rows = torch.arange(len(hidden), device=hidden.device)
        at_eot = self._model.ln_final(hidden[rows, tokens.ends + inserted])
        projected: Tensor = at_eot @ self._model.text_projection
        return projected


class ImageTower(Tower):
    """The vision transformer; CLS first, then the patches."""

    def __init__(self, visual: Any) -> None:
        super().__init__(visual.transformer.resblocks, visual.positional_embedding.shape[1])
        self._visual = visual

    @property
    def projection(self) -> Tensor:
        """The frozen projection W, [width, embed_dim]."""
        weight: Tensor = self._visual.proj
        return weight

    @torch.no_grad()
    def tokens(self, images: Tensor) -> Tokens:
        """The frozen tokens of normalised `images` [n, 3, height, width]."""
        v = self._visual
        patches = v.conv1(images).flatten(2).transpose(1, 2)
        cls = v.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        return Tokens(torch.cat([cls, patches], dim=1) + v.positional_embedding.to(patches.dtype))

    def _start(self, embedded: Tensor) -> Tensor:
        started: Tensor = self._visual.ln_pre(embedded)
        return started

    def normed(self, hidden: Tensor) -> Tensor:
        """ln_post of token activations, [..., width]."""
        normed: Tensor = self._visual.ln_post(hidden)
        return normed

    def pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        return self.normed(hidden[:, 0]) @ self.projection


class Towers:
    """A frozen CLIP: `text` and `image` towers over open_clip's modules, and the logit scale."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        model.eval().requires_grad_(False)
        self.model = model
        self.text = TextTower(model, tokenizer)
        self.image = ImageTower(model.visual)
        self.embed_dim: int = model.visual.proj.shape[1]

    def forget(self) -> None:
        """Drop remembered class lists, so that none is seen by whoever uses the towers next."""
        self.text.forget()

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.logit_scale.device
        return device

    @property
    def logit_scale(self) -> Tensor:
        """exp of the pretrained log scale, a float32 scalar (100 for OpenAI's weights)."""
        scale: Tensor = self.model.logit_scale.float().exp()
        return scale


def imagenet_templates() -> tuple[str, ...]:
    """CLIP's 80 prompt templates for ImageNet, in OpenAI's order, with {} for the class name."""
    return tuple(template("{}") for template in import_open_clip().OPENAI_IMAGENET_TEMPLATES)
