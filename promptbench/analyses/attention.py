"""Who attends to whom, entropy, saturation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from promptbench.analysis.figures import LINES, base_new, blocks, label_sides, legend, line, sheet
from promptbench.analysis.summary import Columns, last, mean
from promptbench.api import Analysis, Drawing, Drawn, Look, Number, select

_GROUPS = {"prompt": "prompt tokens", "patch": "patches", "cls": "CLS"}
_UNITS = {"entropy": "entropy (nats)", "saturated": "share with max > 0.9"}  # others are masses


class Attention(Analysis):
    title = "Attention between CLS, prompt tokens and patches"
    order = 2
    columns: ClassVar[Columns] = {
        "CLS →\nprompts": mean(part="cls", quantity="to_prompt"),
        "last\nblock": last(part="cls", quantity="to_prompt"),
        "CLS →\npatches": mean(part="cls", quantity="to_patch"),
        "CLS →\nCLS": mean(part="cls", quantity="to_cls"),
        "prompts\n→ CLS": mean(part="prompt", quantity="to_cls"),
        "entropy\n(nats)": mean(part="cls", quantity="entropy"),
        "satu-\nrated": mean(part="cls", quantity="saturated"),
    }
    notes = (
        "share of attention, means over blocks, heads, base and new; saturated: rows with a weight "
        "above 0.9",
    )

    def rows(self, look: Look) -> Iterator[Number]:
        for name, found in look.sweeps.items():
            for group, block, quantity, value in found.attention.numbers():
                most = math.inf if quantity == "entropy" else 1.0
                yield look.number(
                    name, quantity, value, part=group, block=block, bounds=(0.0, most)
                )

    def figure(self, drawing: Drawing) -> Drawn:
        """Draw the mass from CLS and from prompt tokens to each group; entropy and saturation."""
        figure, axes = sheet(3, 3, height=1.9)
        final = select(drawing.rows, epoch=None)
        panels = [
            *(("cls", f"to_{group}", f"CLS → {to}") for group, to in _GROUPS.items()),
            *(("prompt", f"to_{group}", f"prompts → {to}") for group, to in _GROUPS.items()),
            ("cls", "entropy", "entropy of CLS rows"),
            ("prompt", "entropy", "entropy of prompt rows"),
            ("cls", "saturated", "saturated CLS rows"),
        ]
        for axis, (group, quantity, heading) in zip(axes.flat, panels, strict=True):
            for name, style in drawing.styled():
                for target, dashes in LINES.items():
                    mine = drawing.of(name, final)
                    rows = select(mine, part=group, quantity=quantity, target=target)
                    line(axis, rows, lambda row: row.block, style, dashes)
            axis.set_title(heading)
            axis.set_xlabel("block")
            axis.set_xticks(blocks(final)[::2])
            axis.set_ylim(bottom=0)
        units = [_UNITS.get(quantity, "attention mass (share)") for _, quantity, _ in panels]
        label_sides(axes.flat, units)
        return figure, legend(drawing, base_new())
