"""A frozen transformer run block by block, with tokens edited in between and blocks changed inside.

Methods hand a tower edits and deltas per block (`promptbench.models.edits`, `.deltas`) and read
features. From the number of the first block that either touches the tower derives what it need not
compute again: activations below it are computed once, without gradient, and shared by all runs on
the same tokens. Edits always see all sequences, in their order, padded to one length; how the
blocks between two edits group, pack or chunk them is the tower's own affair, and the functions of
deltas see tokens as they lie there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from promptbench.errors import UserError
from promptbench.models.capabilities import Capabilities
from promptbench.models.deltas import NONE, Deltas
from promptbench.models.edits import Alike, Edits
from promptbench.models.towers import block as blocks
from promptbench.models.towers.block import Block, View
from promptbench.models.towers.passes import Passes
from promptbench.models.towers.tokens import Capture, Read, Tokens

Through = Callable[[Edits, Deltas], Edits]


class Tower(Passes, ABC):
    """One frozen transformer; blocks count from 1. Not a Module: no method can own its weights."""

    offers: Capabilities = frozenset()  # see `promptbench.models.capabilities`

    def __init__(self, built: Sequence[Block], width: int, *, causal: bool) -> None:
        super().__init__(built, causal=causal)
        self._through: Through | None = None
        self._prefix: int | None = None  # the first block touched in the last run that had any
        self.width = width

    def __deepcopy__(self, memo: object) -> Self:
        return self  # frozen: copies of a method share it

    @contextmanager
    def observed(self, through: Through) -> Iterator[None]:
        """Inside the block, changed passes run with `through(edits, deltas)` in place of their
        edits.

        An observer returns edits that change nothing more and note what they are given: whoever
        acts on the tower is looked at without taking part.
        """
        self._through = through
        try:
            yield
        finally:
            self._through = None

    @property
    def touched_from(self) -> int | None:
        """The block at which edits and deltas began in the last run; None: no run since `forget`
        had any. Blocks before it are computed once per tokens, and shared by what runs on them."""
        return self._prefix

    def weights(self, number: int) -> dict[str, tuple[Tensor, Tensor]]:
        """Copies of the weight and the bias of block `number`, float32, by the names of `Delta`.

        Maps are [d_out, d_in] and [d_out], norms [width] both.
        """
        return blocks.weights(self._blocks[number - 1])

    def view(self, number: int, x: Tensor, deltas: Deltas | None = None) -> View:
        """Block `number` on the sequences x [n, length, width] that enter it, in the open."""
        return blocks.view(self._blocks[number - 1], x, (deltas or {}).get(number, NONE))

    @property
    def blockwise(self) -> nn.Module:
        """The modules that run in half precision as `Towers.cast` makes them; none by default."""
        return nn.ModuleList()

    @abstractmethod
    def forget(self) -> None:
        """Drop what is remembered of texts or images seen before."""

    @abstractmethod
    def _start(self, embedded: Tensor) -> Tensor:
        """What happens between the embedded sequence (where edit 0 acts) and block 1."""

    @abstractmethod
    def _project(self, read: Tensor) -> Tensor:
        """Projected features [n, embed_dim], not normalised, of the tokens read, [n, width]."""

    @property
    @abstractmethod
    def _feature(self) -> Read | None:
        """Where features are read: CLS or EOT; None: in all tokens."""

    def _head(self, read: Tensor) -> Tensor:
        """Projected features [n, embed_dim], not normalised, of what `_feature` reads, [n, per,
        width]."""
        return self._project(read[:, 0])

    @abstractmethod
    def pool(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        """Projected features [n, embed_dim], not normalised, of the last block's output."""

    def frozen(self, tokens: Tokens, block: int) -> Tensor:
        """Activations [n, length, width] entering `block` when nothing is edited; cached.

        `n_blocks + 1` gives the output of the last block. No gradient flows through them.
        """
        if block not in tokens.entering:
            # Also callable from inference mode, whose tensors training could not use later.
            with torch.inference_mode(False), torch.no_grad():
                known = max((b for b in tokens.entering if b < block), default=0)
                x = tokens.entering[known] if known else self._start(tokens.embedded)
                tokens.entering[block] = self._pass(
                    x, tokens, range(max(known, 1), block), frozen=True
                )
        return tokens.entering[block]

    def run(
        self,
        tokens: Tokens,
        edits: Edits | None = None,
        capture: Capture | None = None,
        leading: int | None = None,
        deltas: Deltas | None = None,
    ) -> Tensor:
        """The last block's output [n, length', width], with `edits` applied before their blocks and
        `deltas` in theirs.

        Edit 0 acts on the embedded sequence: text before the positional embedding, images after
        it and before ln_pre. Edit `n_blocks + 1` acts on the last block's output, of which it
        sees all positions. Tokens that an edit inserts into a text must stand before its EOT;
        what stands after a text's EOT is computed or not, as it suits, and means nothing.
        Who reads only the first positions says so with `leading` and gets those,
        [n, leading, width]; the last block then computes no others.

        Raises:
            UserError: a block that there is not.
        """
        read = None if leading is None else Read(leading)
        return self._changed(tokens, edits or {}, deltas or {}, capture, read)

    def features(
        self, tokens: Tokens, edits: Edits | None = None, deltas: Deltas | None = None
    ) -> Tensor:
        """Projected features [n, embed_dim], not normalised, with edits and deltas as in `run`;
        without any computed once."""
        if edits or deltas:
            changed = self._changed(tokens, edits or {}, deltas or {}, None, self._feature)
            return self._head(changed)
        if tokens.pooled is None:
            with torch.inference_mode(False), torch.no_grad():
                # What a prompted pass of these tokens will ask for; of the last block the end only.
                begin = min(max(self._prefix or 1, 1), self.n_blocks)
                rest = range(begin, self.n_blocks + 1)
                entering = self.frozen(tokens, begin)
                read = self._pass(entering, tokens, rest, self._feature, frozen=True)
                tokens.pooled = self._head(read)
        return tokens.pooled

    def _changed(
        self,
        tokens: Tokens,
        edits: Edits,
        deltas: Deltas,
        capture: Capture | None,
        read: Read | None,
    ) -> Tensor:
        """`run`, with the last block computed only at the positions of `read`."""
        last = self.n_blocks
        _refuse_beyond("edits", edits, range(last + 2), last)
        _refuse_beyond("deltas", deltas, range(1, last + 1), last)
        watched = capture.blocks if capture else frozenset[int]()
        if edits or deltas:
            self._prefix = min([*edits, *deltas])
            edits = self._through(edits, deltas) if self._through else edits
        first = min([*edits, *deltas, *watched], default=last if read else last + 1)
        if first == 0:
            x, first = self._start(edits[0](tokens.embedded)), 1
        else:
            x = self.frozen(tokens, first)
        after = edits.get(last + 1)
        later = (block for block in edits if block > first)
        stops = sorted({first, *later, last + 1}.union(*_around(watched)))
        alike = _may_share(edits, deltas, read)
        for begin, end in pairwise(stops):
            if begin in edits and begin:
                x = edits[begin](x)
                alike = alike and isinstance(edits[begin], Alike)
            x = self._pass(
                x,
                tokens,
                range(begin, end),
                read if end > last and after is None else None,
                capture if begin in watched else None,
                deltas=deltas,
                alike=alike,
            )
        if after is None:
            return x
        return after(x) if read is None else read.taken(after(x), tokens)


def _refuse_beyond(what: str, given: Iterable[int], there: range, last: int) -> None:
    """Refuse numbers that are not there.

    Raises:
        UserError: there are some.
    """
    beyond = sorted(set(given) - set(there))
    if beyond:
        raise UserError(
            f"{what} of blocks {beyond}, but the tower has {last} "
            f"({what} have numbers from {there[0]} to {there[-1]})"
        )


def _may_share(edits: Edits, deltas: Deltas, read: Read | None) -> bool:
    """Whether a pass may begin with a common opening computed once: not where edit 0 has no mark,
    functions of deltas may draw for each token, or all openings are read."""
    unmarked = 0 in edits and not isinstance(edits[0], Alike)
    return bool(edits) and not (unmarked or deltas or (read and read.leading))


def _around(watched: Iterable[int]) -> list[tuple[int, int]]:
    """A captured block runs by itself."""
    return [(block, block + 1) for block in watched]
