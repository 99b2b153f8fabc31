"""A comparison of two methods in a terminal: the differences, and what their tests mean."""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from promptbench.core.metric import Metric
from promptbench.report.comparing.comparison import Comparison
from promptbench.report.text import MIXED, NOTHING, spread, spread_notes
from promptbench.statistics import Ends
from promptbench.support.prose import say
from promptbench.support.safe_text import spelled

_LOWER = "lower is better: where A - B is negative, A is the better one"
_GROUP_WIDTH = 10  # at least, where the numbers leave little


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison and what its tests mean."""
    if comparison.banner:
        say(console, comparison.banner, style="yellow")
    say(console, comparison.title, style="bold")
    for letter, name in (("A", comparison.a), ("B", comparison.b)):
        say(console, f"{letter}: {name}")
    if comparison.shared:
        say(console, f"both: {'; '.join(comparison.shared)}")
    console.print(_fitting(comparison, console))
    if any(d.across for d in comparison.differences):
        console.print(_across(comparison, console.encoding))
    for note in _notes(comparison):
        say(console, note, style="dim")


_LAYOUTS = (
    lambda number, spread: f"{number} {spread}".strip(),
    lambda number, spread: f"{number}\n{spread}".strip(),
    lambda number, spread: f"{number}\n{spread}".strip().replace(" ", "\n", 1),
)


def _fitting(comparison: Comparison, console: Console) -> Table:
    """The table; where it would be too wide, spreads stand below numbers: nothing is cut."""
    unbounded = console.options.update(max_width=10_000)
    for layout in _LAYOUTS:
        view = _view(comparison, layout, console.encoding)
        if Measurement.get(console, unbounded, view).maximum <= console.width:
            break
    return view


def _view(comparison: Comparison, layout: Callable[[str, str], str], encoding: str) -> Table:
    headings = ("A", "B", "A - B", "seeds +\nimages", "n", "p", "Holm")
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    view.add_column("dataset", overflow="fold", min_width=_GROUP_WIDTH)
    for heading in ("", *headings):
        view.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    metric, last = comparison.metric, None
    text = metric.text
    for d in comparison.differences:
        if last is not None and d.group != last:
            view.add_section()
        group, last = (d.group if d.group != last else ""), d.group
        shown = layout(text(d.difference.mean, "+"), spread(d.difference, metric.decimals, "+"))
        images = NOTHING if isinstance(d.images, str) else _interval(d.images, metric)
        images = layout("", images)
        numbers = (text(d.a), text(d.b), shown, images, str(d.difference.n))
        tests = (_p(d.over_seeds.p), _p(d.holm))
        cells = [spelled(cell, encoding) for cell in (group, d.title, *numbers, *tests)]
        view.add_row(*map(Text, cells), style="bold" if d.across else "")
    return view


def _across(comparison: Comparison, encoding: str) -> Table:
    """The tests over datasets, of the rows that sum these up."""
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    view.add_column("over datasets", overflow="fold")
    for heading in ("", "A - B", "datasets", "p", "Holm"):
        view.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for d in comparison.differences:
        if d.across is not None:
            tests = (str(d.across.n), _p(d.across.p), _p(d.across_holm))
            cells = (d.group, d.title, comparison.metric.text(d.difference.mean, "+"), *tests)
            view.add_row(*(Text(spelled(text, encoding)) for text in cells))
    return view


def _interval(ends: Ends, metric: Metric) -> str:
    """An interval of differences, which is not worth the last decimal."""
    low, high = (f"{end:+.{max(metric.decimals - 1, 0)}f}" for end in ends)
    return f"[{low}, {high}]"


def _p(p: float | None) -> str:
    return NOTHING if p is None else f"{p:.3f}" if p >= 0.001 else "<0.001"


def _notes(comparison: Comparison) -> list[str]:
    found = comparison.differences
    seeds = ", ".join(map(str, comparison.seeds))
    tests = sum(d.holm is not None for d in found)
    notes = [
        f"paired: same few-shot subset, data order and test images per dataset and seed ({seeds})",
        "A, B: as in a table, over these seeds"
        + ("; HM is that of mean base and mean new" if comparison.metric.harmonic else ""),
        *([] if comparison.metric.higher else [_LOWER]),
        *spread_notes((d.difference for d in found), comparison.metric.values),
        *_images_notes(comparison),
        "p: two-sided paired t-test on the seeds' differences; Holm: the same, adjusted for the "
        f"{tests} rows that have one",
    ]
    smallest = [d.across for d in found if d.across and d.across.p is not None]
    if any(d.across for d in found):
        notes.append(
            "over datasets: two-sided exact Wilcoxon signed-rank test on the datasets' "
            "differences; differences of one dataset share its test images and tell nothing of "
            "other datasets"
        )
    if smallest:
        n = min(test.n for test in smallest)
        notes.append(f"{n} datasets can give no p below {2 / 2**n:.3g}")
    reasons = dict.fromkeys(
        t.why for d in found for t in (d.over_seeds, d.across) if t is not None and t.why
    )
    notes += [f"{MIXED} {text}" for text in comparison.mixed]
    notes += comparison.remarks
    return [*notes, *(f"{NOTHING}: {reason}" for reason in reasons)]


def _images_notes(comparison: Comparison) -> list[str]:
    """What the interval over seeds and images holds, and why it is missing."""
    found = comparison.differences
    shown = [d for d in found if not isinstance(d.images, str)]
    notes = []
    if shown:
        notes.append(
            "seeds + images: 95% interval for other test images too: images of both drawn again "
            "within their classes, crossed with Student's t over seeds"
        )
        if any(d.difference.half_width is None for d in shown):
            notes[0] += "; of fewer than 3 seeds, or of fixed numbers, over images only"
    missing = dict.fromkeys(d.images for d in found if isinstance(d.images, str))
    return notes + [f"{NOTHING} under seeds + images: {reason}" for reason in missing]
