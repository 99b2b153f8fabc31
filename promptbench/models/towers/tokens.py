"""What goes into a tower and comes out of it: frozen sequences, captures, what is read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from torch import Tensor

from promptbench.models.towers.layout import Layout, Reading

# What running one more group of sequences costs in a block, forward and backward, as the floating-
# point work that could be done meanwhile: orders of magnitude, 0.1 ms of a CPU core's calls and
# 0.05 ms of a GPU's launches. It only steers speed.
_GROUP_WORK = {"cpu": 1.5e7, "cuda": 2e10}

# By padded length, first sequence, the one after the last, the most groups, with a common opening.
Layouts = dict[tuple[int, int, int, int | None, bool], Layout]


class Tokens:
    """Embedded, frozen sequences, and what their tower has computed of them so far.

    `embedded` is [n, length, width]: token embeddings (text) or CLS + patches with positions
    (image); a function that gives it is called at the first use. `ends` holds the EOT position of
    each text, int64 [n] on the host, or None for images. How sequences of one length lie hangs on
    only their number: whoever makes `Tokens` of many batches keeps their `layouts`.

    A sequence ends at its `ends`, or with `whole` behind all padding, which its tokens then see.
    `before` rows of `embedded` are not computed: they stand where other towers have SOT. The first
    `opening` that are computed are the same in all sequences, and look at no others.
    """

    def __init__(
        self,
        embedded: Tensor | Callable[[], Tensor],
        ends: Tensor | None = None,
        layouts: Layouts | None = None,
        *,
        whole: bool = False,
        before: int = 0,
        opening: int = 0,
    ) -> None:
        self._embedded = embedded
        self.ends = ends
        self.entering: dict[int, Tensor] = {}  # block number -> frozen activations entering it
        self.pooled: Tensor | None = None  # the frozen features, [n, embed_dim]
        self._ends: list[int] | None = None if ends is None else ends.tolist()
        self._whole, self._before, self._opening = whole, before, opening
        self._layouts: Layouts = {} if layouts is None else layouts

    @property
    def embedded(self) -> Tensor:
        if not isinstance(self._embedded, Tensor):
            self._embedded = self._embedded()
        return self._embedded

    def __len__(self) -> int:
        return len(self.embedded)

    def layout(
        self, padded: int, start: int, stop: int, most: int | None = None, alike: bool = False
    ) -> Layout:
        """How the sequences [start, stop) lie when edits have brought them to `padded` rows.

        `most` bounds the number of groups. `alike`: all edits were `Alike`.
        """
        key = (padded, start, stop, most, alike)
        if key not in self._layouts:
            lengths, ends, opening = [padded] * (stop - start), None, 0
            if self._ends is not None:
                inserted = padded - self.embedded.shape[1] + self._before
                opening = self._opening + inserted if alike and self._opening else 0
                ends = [end + inserted for end in self._ends[start:stop]]
                lengths = lengths if self._whole else [end + 1 for end in ends]
            device, width = self.embedded.device, self.embedded.shape[2]
            overhead = _GROUP_WORK.get(device.type, _GROUP_WORK["cuda"]) / (48 * width**2)
            self._layouts[key] = Layout(lengths, padded, overhead, device, most, ends, opening)
        return self._layouts[key]


class Capture:
    """Records, for the blocks asked for, the block's output and its attention branch's output.

    Both are [n, length, width] (of the last block: the positions that the run returns); the
    attention output is what the residual connection adds.
    """

    def __init__(self, blocks: Collection[int]) -> None:
        self.blocks = frozenset(blocks)
        self.outputs: dict[int, Tensor] = {}
        self.attention: dict[int, Tensor] = {}


@dataclass(frozen=True)
class Read:
    """What a run returns of the last block: the first `leading` positions, or the last token."""

    leading: int | None

    def of(self, layout: Layout, causal: bool) -> Reading:
        """The packed positions, as many per sequence."""
        return layout.last() if self.leading is None else layout.leading(self.leading, causal)

    def taken(self, hidden: Tensor, tokens: Tokens) -> Tensor:
        """These positions of whole sequences [n, length, width]: [n, per, width]."""
        if self.leading is not None:
            return hidden[:, : self.leading]
        layout = tokens.layout(hidden.shape[1], 0, len(hidden))
        reading = layout.last()
        return reading.ordered(reading.moves(layout.pack(hidden)))
