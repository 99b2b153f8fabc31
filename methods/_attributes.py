"""Shared part: attribute words among soft tokens, in front of a class's own context (ATPrompt)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from promptbench.api import TextTower, UserError, edits


class Attributes(nn.Module):
    """The prompt [S_1][word 1] ... [S_a][word a][ctx][name][.]: soft tokens S_j, learned, stand
    before each attribute word, which is fixed text; the context that follows is the method's.

    Args:
        text: the text tower that reads the prompt.
        words: the attribute words.
        n_att: soft tokens before each, drawn from N(0, 0.01^2).
        n_ctx: tokens of the class's context.
        one_token: whether a word counts as one position whatever its length, as in the released
            code: of a longer one the first piece stays, and all that follows is off by the rest.

    Raises:
        UserError: no attribute word, or one without text.
    """

    def __init__(
        self, text: TextTower, words: Sequence[str], n_att: int, n_ctx: int, one_token: bool
    ) -> None:
        super().__init__()
        if isinstance(words, str) or not words or not all(word.strip() for word in words):
            raise UserError(f"attributes = {words!r} must be words such as ('color', 'shape')")
        self.soft = nn.Parameter(0.01 * torch.randn(len(words), n_att, text.width))
        self.opening, self.starts = "", []
        for number, word in enumerate((*words, "")):
            read = len(text.encode(f"{self.opening}X"))  # SOT stands before, the X itself counts
            self.starts.append(1 + number * (n_att + 1) if one_token else read)
            placeholders = ["X"] * (n_att if word else n_ctx)
            self.opening += " ".join([*placeholders, word.strip(), ""])
        self.opening = self.opening.strip()

    @property
    def start(self) -> int:
        """The position at which the class's context begins."""
        return self.starts[-1]

    def prompted(self, names: Sequence[str]) -> list[str]:
        """Prompt texts with placeholders X where soft tokens and context stand."""
        return [f"{self.opening} {name}." for name in names]

    def placed(self, embedded: Tensor, ctx: Tensor) -> Tensor:
        """Embedded prompts [n, length, width] with the soft tokens, and the context `ctx`
        [n_ctx, width], at their positions."""
        x = embedded
        for at, tokens in zip(self.starts, (*self.soft, ctx), strict=True):
            x = edits.replace(x, tokens, at)
        return x
