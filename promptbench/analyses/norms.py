"""Norms of prompt tokens against CLS, per block."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

from promptbench.analysis.figures import (
    GREY,
    LINES,
    base_new,
    blocks,
    dot,
    legend,
    line,
    over_training,
    sheet,
)
from promptbench.analysis.summary import Columns, mean
from promptbench.api import Analysis, Drawing, Drawn, Look, Number, select
from promptbench.running.observing.norms import READOUTS

_RATIO = "‖prompt token‖ / ‖CLS‖ (ratio)"
_SHORT, _LONG = 3.0, 30.0  # the end of a logarithmic axis is so many times its beginning


class Norms(Analysis):
    title = "Norm of prompt tokens against CLS"
    order = 1
    lacking = "no visual tokens"
    columns: ClassVar[Columns] = {
        "block\noutput": mean(part="output", quantity="ratio"),
        "\ngap": mean(part="output", quantity="gap"),
        "atten-\ntion": mean(part="attention", quantity="ratio"),
        "\nln_post": mean(part=READOUTS[0], quantity="ratio"),
        "pro-\njected": mean(part=READOUTS[1], quantity="ratio"),
        "mean,\nprojected": mean(part=READOUTS[3], quantity="ratio"),
    }
    notes = (
        "‖prompt token‖ / ‖CLS‖, mean over blocks with prompts, base and new; gap: mean "
        "|‖p‖ − ‖c‖| / ‖c‖; (mean): of the mean token, which the head reads",
    )

    def rows(self, look: Look) -> Iterator[Number]:
        for name, found in look.sweeps.items():
            for stage, block, quantity, value in found.norms.numbers():
                yield look.number(
                    name, quantity, value, part=stage, block=block, bounds=(0.0, math.inf)
                )

    def figure(self, drawing: Drawing) -> Drawn:
        """Draw the ratio per block at both stages, and behind the last block; log scale."""
        figure, ((output, attention, readout),) = sheet(1, 3)
        final = select(drawing.rows, epoch=None, quantity="ratio")
        for axis, stage in ((output, "output"), (attention, "attention")):
            for name, style in drawing.styled():
                for target, dashes in LINES.items():
                    rows = select(drawing.of(name, final), part=stage, target=target)
                    line(axis, rows, lambda row: row.block, style, dashes)
            axis.set_xlabel("block")
            axis.set_xticks(blocks(final))
        _readouts(readout, drawing, final)
        output.set_title("block output")
        attention.set_title("attention output")
        readout.set_title("behind the last block")
        output.set_ylabel(_RATIO)
        for axis in (output, attention, readout):
            _ratio_axis(axis)
        return figure, legend(drawing, base_new())

    def curves(self, drawing: Drawing) -> Drawn:
        """Draw the mean over blocks with prompts, and what the head reads, over epochs."""
        gap = "mean |‖p‖ − ‖c‖| / ‖c‖"
        panels = [
            ("ratio", {"part": "output"}, "block output, mean over blocks", _RATIO),
            ("gap", {"part": "output"}, "block output, mean over blocks", gap),
            ("ratio", {"part": "projection (mean)"}, "mean token, projected", _RATIO),
        ]
        figure, _ = over_training(drawing, panels, LINES)
        return figure, legend(drawing, base_new())


def _readouts(axis: Any, drawing: Drawing, final: list[Number]) -> None:
    """Points of base and new side by side at each stage behind the last block."""
    series = drawing.styled()
    for number, (name, style) in enumerate(series):
        for shift, target in ((-0.09, "base"), (0.09, "new")):
            place = 0.5 * (number - (len(series) - 1) / 2) / max(len(series), 1) + shift
            for at, stage in enumerate(READOUTS):
                rows = select(drawing.of(name, final), part=stage, target=target)
                dot(axis, at + place, rows, style, "full" if target == "base" else "none")
    axis.set_xticks(range(len(READOUTS)), [stage.replace(" (", "\n(") for stage in READOUTS])


def _ratio_axis(axis: Any) -> None:
    """A logarithmic axis with several labels, also where it is much shorter than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    subs = (1, 1.5, 2, 3, 5, 7) if high < _LONG * low else (1, 3)
    short = high < _SHORT * low
    axis.yaxis.set_major_locator(MaxNLocator(5) if short else LogLocator(subs=subs))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    axis.yaxis.set_minor_locator(NullLocator())
