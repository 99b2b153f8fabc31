"""The text transformer of open_clip: causal or not, read at EOT, at an id, or at the last token."""

from __future__ import annotations

import textwrap
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from promptbench.errors import UserError
from promptbench.models.deltas import Deltas
from promptbench.models.edits import Edit, Edits
from promptbench.models.towers.block import Block
from promptbench.models.towers.tokens import Capture, Read, Tokens
from promptbench.models.towers.tower import Tower
from promptbench.models.towers.words import words_of
from promptbench.support.transfer import sent

_CLASS_LISTS_KEPT = 8  # tokenised class lists whose frozen activations stay in memory
_SHOWN = 80  # characters of a prompt in an error
_AT_END = ("argmax", "eos")  # pooling at the token that ends a text: the largest id, or a known one


def cast_of(device: torch.device) -> torch.dtype | None:
    """The dtype that autocast computes in at the moment, None without autocast."""
    if not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)


class TextTower(Tower):
    """The text transformer, of a CLIP or of a model that keeps its text tower apart.

    A causal one that is read where texts end is cut at the longest end: nothing after it can be
    looked at. Others run whole rows, since their tokens see the padding, as in their pretraining.

    Edits see a sequence whose words begin at position 1. Where texts have no token before their
    words (T5's and Gemma's tokenizers), a row of zeros stands there, which no block computes.
    """

    _in_chunks = True

    def __init__(self, part: Any, tokenizer: Any) -> None:
        causal = part.attn_mask is not None
        blocks = [Block.of(module, causal) for module in part.transformer.resblocks]
        super().__init__(blocks, part.positional_embedding.shape[1], causal=causal)
        self._part = part
        self._pooling: str = getattr(part, "text_pool_type", None) or part.pool_type
        self._eos: int | None = getattr(part, "text_eos_id", getattr(part, "eos_id", None))
        at_end = self._pooling in _AT_END
        self._whole = not (causal and at_end)
        told = {"text_causal": causal, "text_eot": at_end}
        self.offers = frozenset({"text_embeddings", "text_blocks", *(n for n in told if told[n])})
        self._speak(tokenizer, part.token_embedding, part.positional_embedding.shape[0])

    def _speak(self, tokenizer: Any, embedding: nn.Embedding, context_length: int) -> None:
        self._tokenizer, self._embedding = tokenizer, embedding
        self._words = words_of(tokenizer)
        self.context_length: int = context_length
        self._memo: OrderedDict[Any, Tokens] = OrderedDict()

    @property
    def blockwise(self) -> nn.Module:
        module: nn.Module = self._part.transformer
        return module

    @property
    def embed_dim(self) -> int:
        """Numbers of a feature."""
        projection = self._part.text_projection
        if projection is None:
            return self.width
        return int(getattr(projection, "out_features", None) or projection.shape[1])

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without SOT and EOT."""
        return self._words.encode(text)

    def token_ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids [n, context_length], padded; a text that does not fit is an error."""
        rows = torch.full((len(texts), self.context_length), self._words.pad, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            ids = self._words.sequence(text)
            if len(ids) > self.context_length:
                shown = textwrap.shorten(text, _SHOWN, placeholder=" ...")
                raise UserError(
                    f"prompt {shown!r} has {len(ids)} tokens, but the text tower reads at most "
                    f"{self.context_length}; shorten the class name, the template or the context"
                )
            row[: len(ids)] = torch.tensor(ids)
        return rows

    @torch.no_grad()
    def embed(self, words: str) -> Tensor:
        """Token embeddings [k, width] of `words`, without SOT, EOT and positions."""
        embedding = self._embedding
        embedded: Tensor = embedding(
            sent(torch.tensor(self.encode(words)), embedding.weight.device)
        )
        return embedded

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """The frozen tokens of `texts`; a few lists are remembered with their activations."""
        weight = self._embedding.weight
        key = (tuple(texts), weight.device, weight.dtype, cast_of(weight.device))
        if key not in self._memo:
            with torch.inference_mode(False), torch.no_grad():
                self._memo[key] = self._tokens(self.token_ids(texts), weight.device)
        self._memo.move_to_end(key)
        while len(self._memo) > _CLASS_LISTS_KEPT:
            self._memo.popitem(last=False)
        return self._memo[key]

    def _tokens(self, ids: Tensor, device: torch.device) -> Tokens:
        ends = self._ends(ids)
        used = sent(ids if self._whole else ids[:, : int(ends.max()) + 1], device)
        embedded = self._embedding(used)
        if self._words.before:
            opening = 0 if self._whole else _common(ids, int(ends.min()))
            return Tokens(embedded, ends, whole=self._whole, opening=opening)
        embedded = torch.cat([torch.zeros_like(embedded[:, :1]), embedded], dim=1)
        return Tokens(embedded, ends, whole=self._whole, before=1)

    def _ends(self, ids: Tensor) -> Tensor:
        """The position at which each text is read, int64 [n]."""
        if self._pooling == "argmax":
            return ids.argmax(dim=-1)  # EOT has the largest id of the vocabulary
        if self._pooling == "eos":
            return ids.eq(self._eos or 0).int().argmax(dim=-1)
        last = 0 if self._pooling == "first" else ids.shape[1] - 1
        return torch.full((len(ids),), last)

    def forget(self) -> None:
        self._memo.clear()
        self._prefix, self._decided = None, None

    def _changed(
        self,
        tokens: Tokens,
        edits: Edits,
        deltas: Deltas,
        capture: Capture | None,
        read: Read | None,
    ) -> Tensor:
        if not self._words.before:
            edits = {n: partial(_behind_zeros, edit) if n else edit for n, edit in edits.items()}
        return super()._changed(tokens, edits, deltas, capture, read)

    def _start(self, embedded: Tensor) -> Tensor:
        if not self._words.before:
            embedded = embedded[:, 1:]
        positions: Tensor = self._part.positional_embedding
        if embedded.shape[1] > len(positions):
            raise UserError(
                f"edit 0 makes texts of {embedded.shape[1]} tokens, but the text tower has "
                f"{len(positions)} positions; replace tokens there, or insert before a later block"
            )
        return embedded + positions[: embedded.shape[1]].to(embedded.dtype)

    @property
    def _feature(self) -> Read:
        return Read(leading=None)

    def _project(self, read: Tensor) -> Tensor:
        normed: Tensor = self._part.ln_final(read)
        projection = self._part.text_projection
        if projection is None:
            return normed
        if isinstance(projection, nn.Linear):
            projected: Tensor = projection(normed)
            return projected
        by_matrix: Tensor = normed @ projection
        return by_matrix

    def pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        if tokens.ends is None:
            raise ValueError("text tokens carry their EOT positions; these tokens have none")
        return self._project(self._feature.taken(hidden, tokens)[:, 0])


def _common(ids: Tensor, most: int) -> int:
    """How many ids, `most` at most, all rows of ids [n, length] begin with."""
    alike = (ids[:, :most] == ids[0, :most]).all(dim=0)
    return most if alike.all() else int(alike.int().argmin())


def _behind_zeros(edit: Edit, sequence: Tensor) -> Tensor:
    """An edit that sees a row of zeros before the words."""
    zeros = torch.zeros_like(sequence[:, :1])
    return edit(torch.cat([zeros, sequence], dim=1))[:, 1:]
