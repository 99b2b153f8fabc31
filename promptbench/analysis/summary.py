"""The summary in the terminal: one line per method, what a reader looks for first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptbench.analysis.measure import CORRELATED
from promptbench.analysis.rows import Row, average, halves, select
from promptbench.observing.norms import READOUTS
from promptbench.prose import say
from promptbench.report.text import spread, spread_notes
from promptbench.safe_text import spelled
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
            Text(title), *(spelled(_spoken(number), console.encoding) for number in numbers)
        )
        shown += [number for number in numbers if number is not None]
    console.print(table)
    for note in (_NOTES[analysis], *spread_notes(shown)):
        say(console, note, "dim")
    if analysis == "field":
        _correlations(across, console)


def _correlations(rows: Sequence[Row], console: Console) -> None:
    here = select(rows, part="cls/unit")
    if not here:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    datasets = list(dict.fromkeys(row.dataset for row in here))
    table.add_column("rank correlation\nwith accuracy, new")
    for heading in (*(f"\n{name}" for name in datasets), "\nmean"):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for measure in CORRELATED:
        of_measure = select(here, item=measure)
        cells = [_correlation(select(of_measure, dataset=dataset)) for dataset in datasets]
        mean = average(select(of_measure, quantity="spearman"))
        table.add_row(measure, *cells, f"{mean.mean:+.2f}" if mean else "—")
    console.print(table)
    say(
        console,
        f"Spearman over the runs of one data set ({_counts(here)}); p takes runs as independent, "
        "seeds of a method are not",
        "dim",
    )


def _counts(rows: list[Row]) -> str:
    counts = sorted({int(row.value) for row in select(rows, quantity="n")})
    return f"n = {' or '.join(map(str, counts))}"


def _correlation(rows: list[Row]) -> str:
    values = {row.quantity: row.value for row in rows}
    if "spearman" not in values:
        return "—"
    return f"{values['spearman']:+.2f} (p={values['p']:.2f})"


def _mean(**wanted: object) -> Callable[[list[Row]], Estimate | None]:
    return lambda rows: average([r for r in select(rows, **wanted) if not math.isnan(r.value)])


def _last(**wanted: object) -> Callable[[list[Row]], Estimate | None]:
    def value(rows: list[Row]) -> Estimate | None:
        blocks = [row.block for row in rows if row.block is not None]
        return _mean(block=max(blocks), **wanted)(rows) if blocks else None

    return value


def _spoken(found: Estimate | None) -> str:
    if found is None:
        return "—"
    return "\n".join(filter(None, (f"{found.mean:.2f}", spread(found))))


_UNIT = {"part": "cls/unit"}
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
        "uniformity\nbase": _mean(part="cls", quantity="uniformity", target="base"),
        "\nnew": _mean(part="cls", quantity="uniformity", target="new"),
        "tolerance\nbase": _mean(part="cls", quantity="tolerance", target="base"),
        "\nnew ": _mean(part="cls", quantity="tolerance", target="new"),
        "rep: unif.\nnew": _mean(part="rep", quantity="uniformity", target="new"),
        "rep: tol.\nnew": _mean(part="rep", quantity="tolerance", target="new"),
    },
    "field": {
        "cos of\nmeans": _mean(quantity="mean_cosine", **_UNIT),
        "new to\nbase": _mean(quantity="new_to_base", **_UNIT),
        "magni-\ntude": _mean(quantity="base_magnitude", **_UNIT),
        "new /\nbase": _mean(quantity="magnitude_ratio", **_UNIT),
        "\nshared": _mean(quantity="shared_new", **_UNIT),
        "of at\nmost": _mean(quantity="own_new", **_UNIT),
        "accuracy\nnew": _mean(quantity="accuracy", target="new"),
    },
}
_NOTES = {
    "norms": "‖prompt token‖ / ‖CLS‖, mean over blocks with prompts, base and new; gap: mean "
    "|‖p‖ − ‖c‖| / ‖c‖; (mean): of the mean token, which the head reads",
    "attention": "share of attention, means over blocks, heads, base and new; saturated: rows with "
    "a weight above 0.9",
    "geometry": "uniformity: lower is more even; tolerance: mean cosine within classes; rep: the "
    "feature of the prompt tokens",
    "field": "Δ of unit CLS features; shared: the new field's variance in base's top 5 directions, "
    "of at most what its own hold; accuracy in %",
}
