"""Text towers that run whole: those of Hugging Face transformers, and any other of open_clip."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from promptbench.models.capabilities import lacking
from promptbench.models.deltas import Deltas
from promptbench.models.edits import Edits
from promptbench.models.towers.block import is_plain
from promptbench.models.towers.text import TextTower
from promptbench.models.towers.tokens import Read, Tokens
from promptbench.models.towers.tower import Tower
from promptbench.models.towers.whole import WholeTower


class TextIds(Tokens):
    """Texts whose tower takes ids: `ids` [n, length] beside what `Tokens` hold; `kept` [n, length]
    are the positions that are not padding."""

    def __init__(self, ids: Tensor, kept: Tensor, embedded: Tensor) -> None:
        super().__init__(embedded)
        self.ids, self.kept = ids, kept


class TextEncoder(WholeTower, TextTower):
    """A text tower that has features, and nothing in between."""

    offers = frozenset()
    without_edits, without_blocks = "text_embeddings", "text_blocks"

    def __init__(self, part: Any, tokenizer: Any, embed_dim: int) -> None:
        Tower.__init__(self, [], 0, causal=False)
        self._part, self._embed_dim = part, embed_dim
        self._speak(tokenizer, part.token_embedding, part.context_length)

    @property
    def blockwise(self) -> nn.Module:
        return nn.ModuleList()

    @property
    def embed_dim(self) -> int:
        return self._embed_dim

    def _tokens(self, ids: Tensor, device: torch.device) -> Tokens:
        ids = ids.to(device)
        return TextIds(ids, ids != self._words.pad, self._embedding(ids))

    def _computed(self, tokens: Tokens) -> Tensor:
        return self._encoded(_ids_of(tokens))

    def _encoded(self, tokens: TextIds) -> Tensor:
        found = self._part(tokens.ids)
        features: Tensor = found[0] if isinstance(found, tuple) else found
        return features

    @property
    def _feature(self) -> Read:
        raise lacking("text_blocks")


class HuggingFaceText(TextEncoder):
    """A text tower of transformers, whose embedded words (before positions) edit 0 changes.

    An edit that inserts tokens puts them before the padding; texts are as long as the longest of
    their list, which changes nothing, since padding is masked.
    """

    offers = frozenset({"text_embeddings"})

    def __init__(self, part: Any, tokenizer: Any, embed_dim: int, context_length: int) -> None:
        Tower.__init__(self, [], int(part.config.hidden_size), causal=False)
        self._part, self._embed_dim = part, embed_dim
        self._speak(tokenizer, part.transformer.get_input_embeddings(), context_length)

    def _tokens(self, ids: Tensor, device: torch.device) -> Tokens:
        kept = ids != self._part.config.pad_token_id
        longest = int(kept.sum(dim=1).max())
        ids, kept = ids[:, :longest].to(device), kept[:, :longest].to(device)
        embedded = self._embedding(ids)
        if not self._words.before:  # edits see a row of zeros where others have SOT
            embedded = torch.cat([torch.zeros_like(embedded[:, :1]), embedded], dim=1)
        return TextIds(ids, kept, embedded)

    def features(
        self, tokens: Tokens, edits: Edits | None = None, deltas: Deltas | None = None
    ) -> Tensor:
        """Features [n, embed_dim], not normalised, with an edit 0; without computed once.

        Raises:
            UserError: edits of blocks, or deltas.
        """
        if not edits and not deltas:
            return super().features(tokens)
        if deltas or set(edits or {}) != {0}:
            raise lacking("text_blocks")
        texts = _ids_of(tokens)
        edited = (edits or {})[0](texts.embedded)
        size = self.class_chunk or len(edited)
        parts = [
            self._embedded(part, kept)
            if size >= len(edited)
            else checkpoint(self._embedded, part, kept, use_reentrant=False)
            for part, kept in zip(edited.split(size), texts.kept.split(size), strict=True)
        ]
        return torch.cat(parts)

    def _encoded(self, tokens: TextIds) -> Tensor:
        return self._embedded(tokens.embedded, tokens.kept)

    def _embedded(self, embedded: Tensor, kept: Tensor) -> Tensor:
        """The features of embedded words [n, length, width], where `kept` were not padding."""
        if not self._words.before:
            embedded = embedded[:, 1:]
        inserted = embedded.shape[1] - kept.shape[1]
        if inserted:
            kept = torch.cat([kept.new_ones(len(kept), inserted), kept], dim=1)
        mask = kept.long()
        seen = self._part.transformer(inputs_embeds=embedded, attention_mask=mask)
        features: Tensor = self._part.proj(self._part.pooler(seen, mask))
        return features


def _ids_of(tokens: Tokens) -> TextIds:
    if not isinstance(tokens, TextIds):
        raise TypeError("these tokens are of another tower")
    return tokens


def text_tower(model: Any, tokenizer: Any, context_length: int | None = None) -> TextTower:
    """The tower over the text side of a model of open_clip.

    Args:
        context_length: of a text tower of transformers, which itself has a larger one.
    """
    part = getattr(model, "text", model)  # a CLIP has no tower apart for its texts
    if type(part).__name__ == "HFTextEncoder":
        return HuggingFaceText(part, tokenizer, int(part.output_dim), context_length or 77)
    plain = all(map(is_plain, part.transformer.resblocks))
    if plain and getattr(part, "cls_emb", None) is None:
        return TextTower(part, tokenizer)
    return TextEncoder(part, tokenizer, int(part.output_dim))
