"""A frozen transformer run block by block, with the token sequence edited in between.

Methods hand a tower edits per block (`promptbench.models.edits`) and read features. From the number
of the first edited block the tower derives what it need not compute again: activations below it are
computed once, without gradient, and shared by all runs on the same tokens. Edits always see all
sequences, in their order, padded to one length; how the blocks between two edits group, pack or
chunk them is the tower's own affair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from promptbench.errors import UserError
from promptbench.models.edits import Edits
from promptbench.models.towers import block as blocks
from promptbench.models.towers import memory
from promptbench.models.towers.block import Block, View
from promptbench.models.towers.compiled import Compiled, Step
from promptbench.models.towers.layout import Layout
from promptbench.models.towers.tokens import Capture, Read, Tokens

_COMPILED_GROUPS = 4  # each number of groups is code of its own


class Tower(ABC):
    """One frozen transformer; blocks count from 1. Not a Module: no method can own its weights.

    `class_chunk` bounds how many sequences a prompted pass holds activations of; the rest are
    computed again in backward. None: as the device's memory allows
    (`promptbench.models.towers.memory`), which is decided at the first pass with gradient and holds
    until the tower forgets: what else fills the memory at a moment has no say, since sums in other
    pieces have other last bits.
    """

    def __init__(self, modules: Sequence[nn.Module], width: int, *, causal: bool) -> None:
        self._blocks = [Block.of(module, causal) for module in modules]
        self._causal = causal
        self._run: Step = blocks.run
        self._read: Step = blocks.read
        self._through: Callable[[Edits], Edits] | None = None
        self._prefix = 0  # the block that edits began at in the last run: where frozen passes stop
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

    def compile(self, tell: Callable[[str], None], options: Mapping[str, Any]) -> None:
        """Run prompted passes through torch.compile; `tell` hears of a fallback."""
        self._run = Compiled(blocks.run, tell, options)
        self._read = Compiled(blocks.read, tell, options)

    @property
    def is_compiled(self) -> bool:
        return isinstance(self._run, Compiled)

    @property
    def has_given_up(self) -> bool:
        """Whether something that was to be compiled runs as it is."""
        steps = (self._run, self._read)
        return any(isinstance(step, Compiled) and step.has_given_up for step in steps)

    def uncompile(self) -> None:
        """Take `compile` back."""
        self._run, self._read = blocks.run, blocks.read

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """Inside the block passes run as without `compile`; compiled code sees nothing of them."""
        compiled = self._run, self._read
        self._run, self._read = blocks.run, blocks.read
        try:
            yield
        finally:
            self._run, self._read = compiled

    def __deepcopy__(self, memo: object) -> Self:
        return self  # frozen: copies of a method share it

    @contextmanager
    def observed(self, through: Callable[[Edits], Edits]) -> Iterator[None]:
        """Inside the block, edited passes run with `through(edits)` in place of their edits.

        An observer returns edits that change nothing more and note what they are given: whoever
        edits the tower is looked at without taking part.
        """
        self._through = through
        try:
            yield
        finally:
            self._through = None

    def view(self, number: int, x: Tensor) -> View:
        """Block `number` on the sequences x [n, length, width] that enter it, in the open."""
        return blocks.view(self._blocks[number - 1], x)

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
    def _feature(self) -> Read:
        """Where features are read: CLS or EOT."""

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
    ) -> Tensor:
        """The last block's output [n, length', width] with `edits` applied before their blocks.

        Edit 0 acts on the embedded sequence: text before the positional embedding, images after
        it and before ln_pre. Tokens that an edit inserts into a text must stand before its EOT;
        what stands after a text's EOT is computed or not, as it suits, and means nothing.
        Who reads only the first positions says so with `leading` and gets those,
        [n, leading, width]; the last block then computes no others.
        """
        return self._edited(
            tokens, edits or {}, capture, None if leading is None else Read(leading)
        )

    def features(self, tokens: Tokens, edits: Edits | None = None) -> Tensor:
        """Projected features [n, embed_dim], not normalised; without edits computed once."""
        if edits:
            return self._project(self._edited(tokens, edits, None, self._feature)[:, 0])
        if tokens.pooled is None:
            with torch.inference_mode(False), torch.no_grad():
                begin = max(self._prefix, 1)  # what a prompted pass of these tokens will ask for
                rest = range(begin, self.n_blocks + 1)
                entering = self.frozen(tokens, begin)
                read = self._pass(entering, tokens, rest, self._feature, frozen=True)
                tokens.pooled = self._project(read[:, 0])
        return tokens.pooled

    def _edited(
        self, tokens: Tokens, edits: Edits, capture: Capture | None, read: Read | None
    ) -> Tensor:
        """`run`, with the last block computed only at the positions of `read`."""
        last = self.n_blocks
        beyond = set(edits) - set(range(last + 1))
        if beyond:
            raise UserError(f"edits of blocks {sorted(beyond)}, but the tower has {last}")
        watched = capture.blocks if capture else frozenset[int]()
        if edits:
            self._prefix = min(edits)
            edits = self._through(edits) if self._through else edits
        first = min([*edits, *watched], default=last if read else last + 1)
        if first == 0:
            x, first = self._start(edits[0](tokens.embedded)), 1
        else:
            x = self.frozen(tokens, first)
        later = (block for block in edits if block > first)
        stops = sorted({first, *later, last + 1}.union(*_around(watched)))
        for begin, end in pairwise(stops):
            if begin in edits and begin:
                x = edits[begin](x)
            x = self._pass(
                x,
                tokens,
                range(begin, end),
                read if end > last else None,
                capture if begin in watched else None,
            )
        return x

    def _pass(
        self,
        x: Tensor,
        tokens: Tokens,
        numbers: range,
        read: Read | None = None,
        capture: Capture | None = None,
        frozen: bool = False,
    ) -> Tensor:
        """Consecutive blocks without edits between them, in chunks where memory asks for it."""
        if not numbers:
            return x
        size = self._at_once(x, tokens, numbers)
        most = _COMPILED_GROUPS if self.is_compiled and not frozen else None
        outputs, attention = [], []
        for start in range(0, len(x), size):
            stop = min(start + size, len(x))
            layout = tokens.layout(x.shape[1], start, stop, most)
            compute = partial(
                self._packed, layout=layout, numbers=numbers, read=read, frozen=frozen
            )
            part = x[start:stop] if size < len(x) else x
            if size < len(x) and torch.is_grad_enabled() and x.requires_grad:
                output, attended = checkpoint(
                    compute, part, use_reentrant=False, preserve_rng_state=False
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

    def _at_once(self, x: Tensor, tokens: Tokens, numbers: range) -> int:
        """Sequences of x [n, length, width] that a pass takes at a time."""
        learning = torch.is_grad_enabled() and x.requires_grad
        if not self._causal:
            return len(x)
        if self._decided is None and learning:
            self._decided = (self._chunk_for(x, tokens, numbers),)
        size = self.chunk_in_use if learning else self.class_chunk
        return len(x) if size is None else min(max(size, 1), len(x))

    def _chunk_for(self, x: Tensor, tokens: Tokens, numbers: range) -> int | None:
        """The chunk for a training whose first pass with gradient is over x from `numbers` on."""
        room = memory.total(x.device)
        if room is None:
            return None
        rows = tokens.layout(x.shape[1], 0, len(x)).rows
        blocks_left = self.n_blocks + 1 - numbers[0]
        needed = memory.kept_bytes(rows, self.width, blocks_left, x.element_size())
        return memory.fitting(len(x), needed, room)

    def _packed(
        self, x: Tensor, layout: Layout, numbers: range, read: Read | None, frozen: bool
    ) -> tuple[Tensor, Tensor]:
        """Output and last attention branch, [n, length, width] or the positions read of them."""
        packed = layout.pack(x)
        attended = packed
        # Frozen activations are kept beyond the step, which a CUDA graph's own memory is not.
        run, reader = (blocks.run, blocks.read) if frozen else (self._run, self._read)
        for number in numbers[:-1] if read else numbers:
            packed, attended = run(self._blocks[number - 1], packed, layout)
        if read:
            reading = read.of(layout, self._causal)
            return reader(self._blocks[numbers[-1] - 1], packed, layout, reading)
        return layout.unpack(packed), layout.unpack(attended)


def _around(watched: Iterable[int]) -> list[tuple[int, int]]:
    """A captured block runs by itself."""
    return [(block, block + 1) for block in watched]


def _together(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
