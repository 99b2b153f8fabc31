"""The summary in the terminal: one line per method, what a reader looks for first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptbench.analysis import field_summary
from promptbench.analysis.field_summary import spoken
from promptbench.analysis.rows import Row, average, halves, select
from promptbench.observing.norms import READOUTS
from promptbench.prose import say
from promptbench.report.text import spread_notes
from promptbench.safe_text import spelled
from promptbench.scores import load
from promptbench.statistics import Estimate

Columns = dict[str, Callable[[list[Row]], Estimate | None]]


def show(
    analysis: str,
    rows: Sequence[Row],
    titles: Sequence[str],
    across: Sequence[Row],
    console: Console,
) -> None:
    """Print the final numbers of an analysis: means over data sets, with spreads over seeds.

    `rows` are those that are averaged, `titles` all methods, `across` the rows over several runs.
    """
    own = halves(row for row in rows if row.epoch is None and not row.item)
    if analysis == "field":
        field_summary.show(own, titles, across, console)
        return
    columns = _COLUMNS[analysis]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", overflow="fold", min_width=12)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    shown = []
    for title in titles:
        mine = select(own, title=title)
        numbers = [value(mine) for value in columns.values()]
        table.add_row(
            Text(title), *(spelled(spoken(number), console.encoding) for number in numbers)
        )
        shown += [number for number in numbers if number is not None]
    console.print(table)
    for note in (_NOTES[analysis], *spread_notes(shown, load().values)):
        say(console, note, "dim")


def _mean(**wanted: object) -> Callable[[list[Row]], Estimate | None]:
    return lambda rows: average([r for r in select(rows, **wanted) if not math.isnan(r.value)])


def _last(**wanted: object) -> Callable[[list[Row]], Estimate | None]:
    def value(rows: list[Row]) -> Estimate | None:
        blocks = [row.block for row in rows if row.block is not None]
        return _mean(block=max(blocks), **wanted)(rows) if blocks else None

    return value


_COLUMNS: dict[str, Columns] = {
    "norms": {
        "block\noutput": _mean(part="output", quantity="ratio"),
        "\ngap": _mean(part="output", quantity="gap"),
        "atten-\ntion": _mean(part="attention", quantity="ratio"),
        "\nln_post": _mean(part=READOUTS[0], quantity="ratio"),
        "pro-\njected": _mean(part=READOUTS[1], quantity="ratio"),
        "mean,\nprojected": _mean(part=READOUTS[3], quantity="ratio"),
    },
    "attention": {
        "CLS →\nprompts": _mean(part="cls", quantity="to_prompt"),
        "last\nblock": _last(part="cls", quantity="to_prompt"),
        "CLS →\npatches": _mean(part="cls", quantity="to_patch"),
        "CLS →\nCLS": _mean(part="cls", quantity="to_cls"),
        "prompts\n→ CLS": _mean(part="prompt", quantity="to_cls"),
        "entropy\n(nats)": _mean(part="cls", quantity="entropy"),
        "satu-\nrated": _mean(part="cls", quantity="saturated"),
    },
    "geometry": {
        "unif.\nbase": _mean(part="cls", quantity="uniformity", target="base"),
        "\nnew": _mean(part="cls", quantity="uniformity", target="new"),
        "tol.\nbase": _mean(part="cls", quantity="tolerance", target="base"),
        "\nnew ": _mean(part="cls", quantity="tolerance", target="new"),
        "macro\nbase": _mean(part="cls", quantity="tolerance_macro", target="base"),
        "\nnew  ": _mean(part="cls", quantity="tolerance_macro", target="new"),
        "rep:\nunif.": _mean(part="rep", quantity="uniformity", target="new"),
        "new\ntol.": _mean(part="rep", quantity="tolerance", target="new"),
    },
}
_NOTES = {
    "norms": "‖prompt token‖ / ‖CLS‖, mean over blocks with prompts, base and new; gap: mean "
    "|‖p‖ − ‖c‖| / ‖c‖; (mean): of the mean token, which the head reads",
    "attention": "share of attention, means over blocks, heads, base and new; saturated: rows with "
    "a weight above 0.9",
    "geometry": "uniformity: lower is more even; tolerance: mean cosine of pairs within classes "
    "(large classes have most of them); macro: its mean over classes; rep, new: the feature of the "
    "prompt tokens on new classes",
}
