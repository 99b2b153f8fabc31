"""Texts as token ids, from open_clip's own tokenizer or one of Hugging Face transformers."""

from __future__ import annotations

from typing import Any, Protocol

from promptbench.errors import UserError


class Words(Protocol):
    """What a text tower asks of a tokenizer.

    `before` is the number of tokens that stand before the words of every text (SOT), `pad` the id
    that fills a row behind a text.
    """

    before: int
    pad: int

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without those that start and end it."""

    def sequence(self, text: str) -> list[int]:
        """Token ids of `text`, with those that start and end it."""


class PairWords:
    """open_clip's tokenizer of byte pairs: SOT, words, EOT, zeros."""

    before, pad = 1, 0

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text)
        return ids

    def sequence(self, text: str) -> list[int]:
        return [self._tokenizer.sot_token_id, *self.encode(text), self._tokenizer.eot_token_id]


class HuggingFaceWords:
    """A tokenizer of transformers in open_clip's wrapping, which cleans texts its own way.

    Raises:
        UserError: one that fills rows on the left, has a mode of its own, or puts several tokens
            before the words.
    """

    def __init__(self, wrapping: Any) -> None:
        self._clean, self._tokenizer = wrapping.clean_fn, wrapping.tokenizer
        self._stripped: int | None = None
        if wrapping.strip_sep_token:
            self._stripped = self._tokenizer.sep_token_id
        if wrapping.tokenizer_mode or self._tokenizer.padding_side != "right":
            how = wrapping.tokenizer_mode or "padding on the left"
            raise UserError(f"text towers whose tokenizer has {how} are not supported")
        self.pad: int = self._tokenizer.pad_token_id
        word, whole = self.encode("photo"), self.sequence("photo")
        places = [i for i in range(len(whole)) if whole[i : i + len(word)] == word]
        if not places or places[0] > 1:
            raise UserError(
                "text towers whose tokenizer puts more than one token before the words are not "
                "supported"
            )
        self.before = places[0]

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer(self._clean(text), add_special_tokens=False).input_ids)

    def sequence(self, text: str) -> list[int]:
        ids = list(self._tokenizer(self._clean(text)).input_ids)
        return [0 if token == self._stripped else token for token in ids]


def words_of(tokenizer: Any) -> Words:
    """The words of an open_clip tokenizer, or of any with `encode`, `sot_token_id` and
    `eot_token_id`."""
    return HuggingFaceWords(tokenizer) if hasattr(tokenizer, "tokenizer") else PairWords(tokenizer)
