"""The coupled prompt field, base against new, beside nulls.

Each method stands beside what learned nothing, and beside two halves of base. In the figure, places
on the horizontal axis are quantities; at each, a method has its marker with the bar over seeds, a
pale band for the interval over images, and the marks of its references.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from rich.console import Console

from promptbench.analysis import field
from promptbench.analysis.agreement import BOUNDS
from promptbench.analysis.correlation import CORRELATED, correlations
from promptbench.analysis.field import EPOCH_0, HALVES, MINUS, RANDOM, REFERENCES, beside
from promptbench.analysis.figures import (
    FEATURES,
    GREY,
    MARKERS,
    dot,
    handle,
    ink,
    legend,
    over_training,
    sheet,
)
from promptbench.analysis.summary import Columns, SummaryLine, mean, show_lines, spoken
from promptbench.api import Analysis, Drawing, Drawn, Estimate, Look, Number, average, select
from promptbench.core.metric import DEFAULT
from promptbench.records.scores import load
from promptbench.report.text import NOTHING, spread_notes
from promptbench.statistics import ANY, Ends
from promptbench.support.prose import say

_PART = "cls/unit"
_NOTES = (
    "Δ of unit CLS features; below each method what learned nothing gives, and a ceiling",
    "from, to: ends of 95% intervals over images (bootstrap), mean over runs",
    "base to base: to the mean of the other images; coherence: ‖mean Δ‖ / mean ‖Δ‖; in 5: share of "
    "variance in the top 5 directions, its own from the other half of its images",
)
_DIRECTION = {
    "cos of\nmeans": "mean_cosine",
    "new to\nbase": "new_to_base",
    "base to\nbase": "base_to_base",
    "cohe-\nrence": "base_coherence",
    "\nnew": "new_coherence",
}
_VARIANCE = {
    "magni-\ntude": "base_magnitude",
    "new /\nbase": "magnitude_ratio",
    "new in\nbase's 5": "shared_new",
    "its own": "own_new",
    "sub-\nspace": "subspace",
}
_ACCURACY = f"{DEFAULT}\nnew"


class Field(Analysis):
    title = "The coupled prompt field, of unit features"
    order = 4
    lacking = "the image tower is left as it is, so that the field is zero, or no other classes"
    untrained = True
    columns: ClassVar[Columns] = {
        **{h: mean(part=_PART, quantity=q) for h, q in (_DIRECTION | _VARIANCE).items()},
        _ACCURACY: mean(quantity=DEFAULT, target="new"),
    }
    notes = _NOTES

    def rows(self, look: Look) -> Iterator[Number]:
        base, *others = look.sweeps
        seen = look.sweeps
        if not seen[base].edited or not others:
            return
        full = look.epoch is None
        for name in others:
            for part, quantity, value in field.numbers(seen[base], seen[name], look.seed, full):
                yield look.number(name, quantity, value, part=part, bounds=_bounds(quantity))
        if not full:
            return
        for scored in look.scored:
            bounds = load().bounds
            yield look.number(scored.target, scored.quantity, scored.value, bounds=bounds)
            for item, value in scored.classes:
                yield look.number(scored.target, scored.quantity, value, item=item, bounds=bounds)
        if len(others) == 1:
            for name, other in ((base, others[0]), (others[0], base)):
                for part, item, quantity, value in field.per_class(seen[name], seen[other]):
                    yield look.number(name, quantity, value, part=part, item=item)

    def across(self, rows: Sequence[Number]) -> list[Number]:
        return correlations(rows)

    def show(
        self,
        rows: Sequence[Number],
        titles: Sequence[str],
        across: Sequence[Number],
        console: Console,
    ) -> None:
        """Print direction, then magnitude and variance, then the correlations."""
        shown: list[Estimate] = []
        for quantities, further in ((_DIRECTION, ()), (_VARIANCE, (_ACCURACY,))):
            columns = (*quantities, *further)
            lines: list[SummaryLine] = []
            for title in titles:
                mine = select(rows, title=title)
                own = [self.columns[heading](mine) for heading in columns]
                shown += [number for number in own if number is not None]
                lines += _lines(title, own, mine, quantities, len(further))
            show_lines("method", columns, lines, console)
        for note in (*_NOTES, *spread_notes(shown, "such numbers")):
            say(console, note, "dim")
        _correlations(across, console)

    def figure(self, drawing: Drawing) -> Drawn:
        """Draw agreement between base and new classes, and how it goes with accuracy."""
        final = select(drawing.rows, epoch=None, item="")
        present = [name for name in FEATURES if select(final, part=f"{name}/unit")]
        figure, axes = sheet(len(present) + 1, 2, width=3.7, height=2.2, least=3.0)
        for (left, right), feature in zip(axes, present, strict=False):
            _panel(left, drawing, final, feature, _ON_DIRECTION)
            left.set_title(f"direction, {FEATURES[feature]}")
            left.set_ylabel("cosine, coherence")
            _panel(right, drawing, final, feature, _ON_VARIANCE)
            right.set_title(f"top 5 directions, {FEATURES[feature]}")
            right.set_ylabel("share of variance")
        magnitude, against = axes[len(present)]
        _panel(magnitude, drawing, final, "cls", _ON_MAGNITUDE)
        magnitude.set_title("magnitude, CLS feature")
        magnitude.set_ylabel("norm (of unit features)")
        _against_accuracy(against, drawing, final)
        return figure, legend(drawing, _explained() | _datasets(drawing, final))

    def curves(self, drawing: Drawing) -> Drawn:
        """Draw direction, magnitude and directions in common over epochs."""
        part = {"part": _PART}
        panels = [
            ("mean_cosine", part, "mean field, base and new", "cosine"),
            ("magnitude_ratio", part, "magnitude, new / base", "ratio"),
            ("shared_new", part, "new field in base's top 5", "share of variance"),
        ]
        figure, axes = over_training(drawing, panels, {"new": "-"})
        final = select(drawing.rows, epoch=None, item="")
        for axis, (quantity, *_) in zip(axes, panels, strict=True):
            for reference, dashes in _LINES.items():
                found = _mean(select(final, part=beside(_PART, reference), quantity=quantity))
                if not math.isnan(found):
                    axis.axhline(found, color=GREY, linewidth=0.8, linestyle=dashes)
        plain_line = {"color": GREY, "marker": ""}
        named = {REFERENCES[name]: handle(plain_line, dashes) for name, dashes in _LINES.items()}
        return figure, legend(drawing, named)


# --- the summary --------------------------------------------------------------------------------


def _lines(
    title: str,
    own: Sequence[Estimate | None],
    rows: list[Number],
    quantities: Mapping[str, str],
    further: int,
) -> Iterator[SummaryLine]:
    """A method's lines: its own numbers, their intervals over images, and the references, which
    the `further` columns do not have."""

    def short(part: str, end: str = "") -> list[str]:
        found = [mean(part=part, quantity=quantity + end)(rows) for quantity in quantities.values()]
        shown = [NOTHING if each is None else f"{each.mean:.2f}" for each in found]
        return [*shown, *[""] * further]

    yield SummaryLine(title, [spoken(number) for number in own])
    for name, end in (("from", "_low"), ("to", "_high")):
        yield SummaryLine(f"  {name}", short(_PART, end), "dim")
    for reference, name in REFERENCES.items():
        yield SummaryLine(f"  {name}", short(beside(_PART, reference)), "dim", reference == HALVES)


def _correlations(rows: Sequence[Number], console: Console) -> None:
    """How measures go with accuracy over the runs of each dataset."""
    here = select(rows, part=_PART)
    if not here:
        return
    datasets = list(dict.fromkeys(row.dataset for row in here))
    lines = []
    for measure in CORRELATED:
        of_measure = select(here, item=measure)
        cells = [_correlation(select(of_measure, dataset=dataset)) for dataset in datasets]
        found = average(select(of_measure, quantity="spearman"))
        lines.append(SummaryLine(measure, [*cells, f"{found.mean:+.2f}" if found else NOTHING]))
    show_lines(f"rank correlation\nwith {DEFAULT}, new", [*datasets, "mean"], lines, console)
    say(console, f"Spearman over the runs of one dataset ({_counts(here)}); {_test(here)}", "dim")


def _counts(rows: list[Number]) -> str:
    counts = [
        " or ".join(str(int(n)) for n in sorted({row.value for row in select(rows, quantity=name)}))
        for name in ("n", "methods")
    ]
    return f"n = {counts[0]}, methods: {counts[1]}"


def _test(rows: list[Number]) -> str:
    tests = len(select(rows, quantity="p"))
    if not tests:
        return "no p: permuting whole methods needs 3 of them, with seeds that all have"
    return (
        "p: whole methods permuted (of one method its seeds), since seeds of a method are not "
        f"independent; not corrected for {tests} tests"
    )


def _correlation(rows: list[Number]) -> str:
    values = {row.quantity: row.value for row in rows}
    if "spearman" not in values:
        return NOTHING
    p = f" (p={values['p']:.2f})" if "p" in values else ""
    return f"{values['spearman']:+.2f}{p}"


# --- the figures --------------------------------------------------------------------------------

_ON_DIRECTION = {
    "mean_cosine": "mean\nfields",
    "new_to_base": "new to\nbase",
    "base_to_base": "base to\nbase",
    "base_coherence": "coherence\nbase",
    "new_coherence": "coherence\nnew",
}
_ON_VARIANCE = {
    "shared_new": "new in\nbase's",
    "own_new": "new in\nits own",
    "subspace": "mean cos²\nof angles",
}
_ON_MAGNITUDE = {"base_magnitude": "base", "new_magnitude": "new"}
_MARKS: dict[str, dict[str, Any]] = {
    EPOCH_0: {"marker": "x", "markersize": 4},
    MINUS: {"marker": "_", "markersize": 8, "color": GREY},
    RANDOM: {"marker": "+", "markersize": 6, "color": GREY},
    HALVES: {"marker": "_", "markersize": 8},  # in the colour of letters
}
_LINES = {MINUS: "--", RANDOM: ":", HALVES: "-."}
_BAND: dict[str, Any] = {"linewidth": 5.0, "alpha": 0.25, "solid_capstyle": "butt"}
_ENDS = ("low", "high")


def _panel(
    axis: Any, drawing: Drawing, final: Sequence[Number], feature: str, quantities: dict[str, str]
) -> None:
    part = f"{feature}/unit"
    series = [each for each in drawing.styled() if select(drawing.of(each[0], final), part=part)]
    for number, (name, style) in enumerate(series):
        mine = drawing.of(name, final)
        for at, quantity in enumerate(quantities):
            place = at + 0.7 * (number - (len(series) - 1) / 2) / max(len(series), 1)
            ends = [_mean(select(mine, part=part, quantity=f"{quantity}_{e}")) for e in _ENDS]
            axis.plot([place, place], ends, color=style["color"], zorder=1, **_BAND)
            for reference, mark in _MARKS.items():
                rows = select(mine, part=beside(part, reference), quantity=quantity)
                own = style | mark | ({"color": ink()} if reference == HALVES else {})
                axis.plot(place, _mean(rows), linestyle="", zorder=2, **own)
            dot(axis, place, select(mine, part=part, quantity=quantity), style, "full")
    axis.set_xticks(range(len(quantities)), list(quantities.values()))
    axis.set_xlim(-0.5, len(quantities) - 0.5)
    axis.margins(y=0.1)
    axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))


def _bounds(quantity: str) -> Ends:
    """What a quantity, or an end of its interval over images, can be."""
    name, _, end = quantity.rpartition("_")
    return BOUNDS.get(name if end in _ENDS else quantity, ANY)


def _mean(rows: list[Number]) -> float:
    """The average, nan without rows."""
    found = average([row for row in rows if not math.isnan(row.value)])
    return math.nan if found is None else found.mean


def _explained() -> dict[str, Any]:
    """What the marks are that all methods have."""
    band = handle({"color": ink(), "marker": "", **_BAND}, "-")
    marks = {REFERENCES[name]: handle({"color": ink()} | mark, "") for name, mark in _MARKS.items()}
    return {"95% interval over images": band, **marks}


def _datasets(drawing: Drawing, final: list[Number]) -> dict[str, Any]:
    """What the markers are of the panel of runs, where they are not those of methods."""
    return {
        f"each run: {name}": handle({"color": GREY, "marker": marker}, "")
        for name, marker in _markers(drawing, final).items()
    }


def _markers(drawing: Drawing, final: list[Number]) -> dict[str, str]:
    """A marker for each dataset, where colours suffice to tell methods from each other; else none:
    markers are those of the methods."""
    names = list(dict.fromkeys(row.dataset for row in final))
    colours = [style["color"] for _, style in drawing.styled()]
    alike = len(set(colours)) < len(colours)
    if not drawing.compared or alike or not 1 < len(names) <= len(MARKERS):
        return {}
    return dict(zip(names, MARKERS, strict=False))


def _against_accuracy(axis: Any, drawing: Drawing, final: list[Number]) -> None:
    """One point per run: accuracy on new classes over the agreement of direction."""
    markers = _markers(drawing, final)
    for name, style in drawing.styled():
        mine = select(drawing.of(name, final), target="new")
        for dataset, seed in dict.fromkeys((row.dataset, row.seed) for row in mine):
            run = select(mine, dataset=dataset, seed=seed)
            across = average(select(run, part="cls/unit", quantity="new_to_base"))
            up = average(select(run, quantity=DEFAULT))
            if across is not None and up is not None:
                own = style | ({"marker": markers[dataset]} if markers else {})
                axis.plot(across.mean, up.mean, linestyle="", markersize=4, **own)
    axis.set_xlabel("mean cosine of new Δ to the mean base field")
    metric = load()
    axis.set_ylabel(f"{metric.short}, new classes ({metric.unit})")
    axis.set_title("each run")
