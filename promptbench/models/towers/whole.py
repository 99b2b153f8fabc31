"""What towers of either side have in common that run whole: features, and nothing in between."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from promptbench.models.capabilities import lacking
from promptbench.models.deltas import Deltas
from promptbench.models.edits import Edits
from promptbench.models.towers.tokens import Capture, Tokens
from promptbench.models.towers.tower import Tower


class WholeTower(Tower):
    """A tower that is not opened.

    `without_edits` and `without_blocks` are the capabilities that it lacks, for who asks to change
    what enters it and for who asks for its blocks.
    """

    without_edits: ClassVar[str]
    without_blocks: ClassVar[str]

    @abstractmethod
    def _computed(self, tokens: Tokens) -> Tensor:
        """The features [n, embed_dim], not normalised, of what enters the tower."""

    def features(
        self, tokens: Tokens, edits: Edits | None = None, deltas: Deltas | None = None
    ) -> Tensor:
        """Features [n, embed_dim], not normalised, computed once.

        Raises:
            UserError: edits or deltas.
        """
        if edits or deltas:
            raise lacking(self.without_edits)
        if tokens.pooled is None:
            with torch.inference_mode(False), torch.no_grad():
                tokens.pooled = self._computed(tokens)
        return tokens.pooled

    def run(
        self,
        tokens: Tokens,
        edits: Edits | None = None,
        capture: Capture | None = None,
        leading: int | None = None,
        deltas: Deltas | None = None,
    ) -> Tensor:
        raise lacking(self.without_blocks)

    def _start(self, embedded: Tensor) -> Tensor:
        raise lacking(self.without_blocks)

    def _project(self, read: Tensor) -> Tensor:
        raise lacking(self.without_blocks)

    def pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        raise lacking(self.without_blocks)
