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
from functools import partial
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from promptbench.errors import UserError
from promptbench.models.capabilities import Capabilities
from promptbench.models.deltas import NONE, Deltas
from promptbench.models.edits import Alike, Edits
from promptbench.models.towers import block as blocks
from promptbench.models.towers import memory
from promptbench.models.towers.block import Block, View
from promptbench.models.towers.compiled import Steps
from promptbench.models.towers.layout import Layout
from promptbench.models.towers.tokens import Capture, Read, Tokens

Through = Callable[[Edits, Deltas], Edits]

_COMPILED_GROUPS = 4  # each number of groups is code of its own


class Tower(Steps, ABC):
    """One frozen transformer; blocks count from 1. Not a Module: no method can own its weights.

    `class_chunk` bounds how many sequences a prompted pass holds activations of; the rest are
    computed again in backward. None: as the device's memory allows
    (`promptbench.models.towers.memory`), which is decided at the first pass with gradient and holds
    until the tower forgets: what else fills the memory at a moment has no say, since sums in other
    pieces have other last bits.
    """

    _in_chunks = False  # whether `class_chunk` is about its sequences
    offers: Capabilities = frozenset()  # see `promptbench.models.capabilities`

    def __init__(self, built: Sequence[Block], width: int, *, causal: bool) -> None:
        self._blocks = list(built)
        self._causal = causal
        super().__init__()
        self._through: Through | None = None
        self._prefix: int | None = None  # the first block touched in the last run that had any
        self._decided: tuple[int | None] | None = None  # the chunk of passes with gradient
        self.width = width
        self.class_chunk: int | None = None

    @property
    def n_blocks(self) -> int:
        return len(self._blocks)

    @property
    def chunk_in_use(self) -> int | None:
        """Sequences that passes with gradient hold activations of at a time; None: of all."""
        if self.class_chunk is not None or self._decided is None:
            return self.class_chunk
        return self._decided[0]

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

    def _pass(
        self,
        x: Tensor,
        tokens: Tokens,
        numbers: range,
        read: Read | None = None,
        capture: Capture | None = None,
        frozen: bool = False,
        deltas: Deltas | None = None,
        alike: bool = False,
    ) -> Tensor:
        """Consecutive blocks without edits between them, in chunks where memory asks for it;
        `alike`: what the sequences begin with in common is computed once."""
        if not numbers:
            return x
        own = {number: deltas[number] for number in numbers if number in deltas} if deltas else {}
        # Whether functions hold something that learns, nobody knows before they run.
        learning = torch.is_grad_enabled() and (x.requires_grad or bool(own))
        size = self._at_once(x, tokens, numbers, own, learning, alike)
        most = _COMPILED_GROUPS if self.is_compiled and not frozen else None
        outputs, attention = [], []
        for start in range(0, len(x), size):
            stop = min(start + size, len(x))
            layout = tokens.layout(x.shape[1], start, stop, most, alike)
            compute = partial(
                self._packed, layout=layout, numbers=numbers, read=read, frozen=frozen, deltas=own
            )
            part = x[start:stop] if size < len(x) else x
            if size < len(x) and learning:
                # Only functions of deltas draw (dropout), and must draw the same again.
                # An error by which torch ends it early would end compiled code for good.
                with set_checkpoint_early_stop(not self.is_compiled):
                    output, attended = checkpoint(
                        compute, part, use_reentrant=False, preserve_rng_state=bool(own)
                    )
            else:
                output, attended = compute(part)
            outputs.append(output)
            attention.append(attended)
        result = _together(outputs)
        if capture is not None:
            capture.outputs[numbers[0]] = result
            capture.attention[numbers[0]] = _together(attention)
        return result

    def _at_once(
        self,
        x: Tensor,
        tokens: Tokens,
        numbers: range,
        deltas: Deltas,
        learning: bool,
        alike: bool,
    ) -> int:
        """Sequences of x [n, length, width] that a pass takes at a time."""
        if not self._in_chunks:
            return len(x)
        if self._decided is None and learning:
            layout = tokens.layout(x.shape[1], 0, len(x), alike=alike)
            blocks_left = self.n_blocks + 1 - numbers[0]
            self._decided = (memory.chunk(x, layout, blocks_left, deltas.values()),)
        size = self.chunk_in_use if learning else self.class_chunk
        return len(x) if size is None else min(max(size, 1), len(x))

    def _packed(
        self,
        x: Tensor,
        layout: Layout,
        numbers: range,
        read: Read | None,
        frozen: bool,
        deltas: Deltas,
    ) -> tuple[Tensor, Tensor]:
        """Output and last attention branch, [n, length, width] or the positions read of them."""
        packed = layout.pack(x)
        attended = packed
        # Frozen activations are kept beyond the step, which a CUDA graph's own memory is not.
        run, reader = (blocks.run, blocks.read) if frozen else (self._run, self._read)
        for number in numbers[:-1] if read else numbers:
            delta = deltas.get(number, NONE)
            packed, attended = run(self._blocks[number - 1], packed, layout, delta)
        if read:
            reading = read.of(layout, self._causal)
            delta = deltas.get(numbers[-1], NONE)
            return reader(self._blocks[numbers[-1] - 1], packed, layout, reading, delta)
        return layout.unpack(packed), layout.unpack(attended)


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


def _together(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
