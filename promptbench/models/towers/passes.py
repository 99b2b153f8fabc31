"""Passes of a tower through consecutive blocks, as they lie in memory.

Between two edits nobody sees the tokens. So sequences are packed there (`layout`), taken in chunks
where the device's memory asks for it (`memory`), and run as they are or compiled (`compiled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from promptbench.models.deltas import NONE, Deltas
from promptbench.models.towers import block as blocks
from promptbench.models.towers import memory
from promptbench.models.towers.block import Block
from promptbench.models.towers.compiled import Steps
from promptbench.models.towers.layout import Layout
from promptbench.models.towers.tokens import Capture, Read, Tokens

_COMPILED_GROUPS = 4  # each number of groups is code of its own


class Passes(Steps):
    """The blocks of a tower, and how passes with and without gradient go through them.

    `class_chunk` bounds how many sequences a prompted pass holds activations of; the rest are
    computed again in backward. None: as the device's memory allows
    (`promptbench.models.towers.memory`), which is decided at the first pass with gradient and holds
    until the tower forgets: what else fills the memory at a moment has no say, since sums in other
    pieces have other last bits.
    """

    _in_chunks = False  # whether `class_chunk` is about its sequences

    def __init__(self, built: Sequence[Block], *, causal: bool) -> None:
        super().__init__()
        self._blocks = list(built)
        self._causal = causal
        self._decided: tuple[int | None] | None = None  # the chunk of passes with gradient
        self.class_chunk: int | None = None

    @property
    def n_blocks(self) -> int:
        return len(self._blocks)

    @property
    def chunk_in_use(self) -> int | None:
        """Sequences that passes with gradient hold activations of at a time; None: of all."""
        decided = None if self._decided is None else self._decided[0]
        sizes = [size for size in (self.class_chunk, decided) if size is not None]
        return min(sizes, default=None)

    def go_on_in(self, chunk: int | None) -> None:
        """Let passes with gradient hold activations of so many sequences, as before (None: of all),
        until the tower forgets; of fewer, where `class_chunk` is less."""
        self._decided = (chunk,)

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
        if self._decided is None and self.class_chunk is None and learning:
            layout = tokens.layout(x.shape[1], 0, len(x), alike=alike)
            blocks_left = self.n_blocks + 1 - numbers[0]
            products = self._blocks[numbers[0] - 1].fc.weight.dtype
            chunk = memory.chunk(x, layout, blocks_left, deltas.values(), products)
            self._decided = (chunk,)
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


def _together(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
