"""The causal text tower."""

from __future__ import annotations

import textwrap
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from promptbench.errors import UserError
from promptbench.models.towers.tokens import Read, Tokens
from promptbench.models.towers.tower import Tower
from promptbench.support.transfer import sent

_CLASS_LISTS_KEPT = 8  # tokenised class lists whose frozen activations stay in memory
_SHOWN = 80  # characters of a prompt in an error


def cast_of(device: torch.device) -> torch.dtype | None:
    """The dtype that autocast computes in at the moment, None without autocast."""
    if not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)


class TextTower(Tower):
    """The causal text tower, cut at the longest EOT (nothing after it can be looked at)."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        width = model.positional_embedding.shape[1]
        super().__init__(model.transformer.resblocks, width, causal=True)
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
        embedding = self._model.token_embedding
        embedded: Tensor = embedding(
            sent(torch.tensor(self.encode(words)), embedding.weight.device)
        )
        return embedded

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """The frozen tokens of `texts`; a few lists are remembered with their activations."""
        weight = self._model.token_embedding.weight
        key = (tuple(texts), weight.device, weight.dtype, cast_of(weight.device))
        if key not in self._memo:
            with torch.inference_mode(False), torch.no_grad():
                ids = self.token_ids(texts)
                ends = ids.argmax(dim=-1)  # EOT has the largest id of the vocabulary
                used = sent(ids[:, : int(ends.max()) + 1], weight.device)
                self._memo[key] = Tokens(self._model.token_embedding(used), ends)
        self._memo.move_to_end(key)
        while len(self._memo) > _CLASS_LISTS_KEPT:
            self._memo.popitem(last=False)
        return self._memo[key]

    def forget(self) -> None:
        self._memo.clear()
        self._prefix, self._decided = None, None

    def _start(self, embedded: Tensor) -> Tensor:
        positions: Tensor = self._model.positional_embedding
        return embedded + positions[: embedded.shape[1]].to(embedded.dtype)

    @property
    def _feature(self) -> Read:
        return Read(leading=None)

    def _project(self, read: Tensor) -> Tensor:
        projected: Tensor = self._model.ln_final(read) @ self._model.text_projection
        return projected

    def pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        if tokens.ends is None:
            raise ValueError("text tokens carry their EOT positions; these tokens have none")
        return self._project(self._feature.taken(hidden, tokens)[:, 0])
