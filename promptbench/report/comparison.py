"""Two methods side by side: differences per data set, and what paired tests say of them.

What is paired: both methods have the same few-shot subset, data order and test images for a data
set and a seed (the named streams of `promptbench.seeding`), so that a difference of scores belongs
to each (data set, seed). Differences of one data set share its test images and are no independent
evidence about other data sets; hence two tests that are never mixed:

- over seeds: the paired t-test of one column's differences, n = seeds (of a column that sums up
  others, this asks whether the average differs on these data sets);
- over data sets: the Wilcoxon signed-rank test of the data sets' mean differences, n = data sets.

p-values are two-sided and not corrected for the number of columns.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from promptbench import mixing, suites
from promptbench import records as store
from promptbench.errors import UserError, unknown
from promptbench.mixing import Variant
from promptbench.prose import say
from promptbench.protocol import Column
from promptbench.records import Record
from promptbench.registry import METHODS
from promptbench.report import assemble, gather
from promptbench.report.rows import is_drawn, scores_by_seed, shared, titles
from promptbench.report.text import MIXED, NOTHING, spread, spread_notes
from promptbench.safe_text import printable, spelled
from promptbench.statistics import Estimate, PairedTest, estimate, signed_rank_test, t_test
from promptbench.suites import standing
from promptbench.verify import read_counted


@dataclass(frozen=True)
class Difference:
    """One column of both: means over the shared seeds, A minus B, and the test over seeds.

    `across` is the test over the data sets that the column sums up; None for a single data set.
    """

    group: str
    title: str
    a: float
    b: float
    difference: Estimate
    over_seeds: PairedTest
    across: PairedTest | None


@dataclass(frozen=True)
class Comparison:
    """Two methods under one protocol."""

    title: str
    a: str
    b: str
    seeds: tuple[int, ...]
    differences: tuple[Difference, ...]
    banner: str = ""
    shared: tuple[str, ...] = ()  # preset, limit and changed settings of both sides
    mixed: tuple[str, ...] = ()  # versions, devices and the like that are not the same everywhere


def select(
    side: str,
    places: Sequence[Path],
    protocol: str | None = None,
    suite: str | None = None,
    preset: str = "paper",
) -> list[Record]:
    """The records of one side: a folder of one variant's records, or a method among `places`.

    A method stands for its row without changed settings and limit, if there is one.

    Raises:
        UserError: nothing found, or more than one variant.
    """
    name, _, inference = side.partition(":")
    as_folder = Path(side).exists()
    paths = store.find([Path(side)] if as_folder else places)
    found = [
        r
        for r in read_counted(paths)[0]
        if protocol in (None, r.protocol.name) and suite in (None, r.suite)
    ]
    if not as_folder:
        wanted = (name, inference or "unified", preset)
        found = [r for r in found if (r.method.name, r.inference, r.preset) == wanted]
    if not found:
        where = side if as_folder else ", ".join(map(str, places))
        if not as_folder:
            _refuse_unknown(name, inference, [r.method.name for r in map(store.read, paths)])
        raise UserError(f"no records of {side!r} with these options under {where}")
    if not as_folder:
        found = [r for r in found if not any(mixing.variant_of(r)[3:6])] or found
    variants = _rows(found)
    if len(variants) > 1:
        rows = "; ".join(sorted(map(printable, titles(variants))))
        raise UserError(
            f"{side!r} stands for several rows: {rows}; "
            "name a folder that holds the records of one of them"
        )
    return found


def _rows(records: Sequence[Record]) -> list[list[Record]]:
    """The rows of records; one that stands in several tables counts once."""
    found: dict[Variant, list[Record]] = defaultdict(list)
    for table in mixing.tables(records):
        for variant, own in mixing.rows(table).items():
            found[variant] += own
    return list(found.values())


def _refuse_unknown(method: str, inference: str, recorded: Sequence[str]) -> None:
    if method not in (known := [*METHODS.names(), *recorded]):
        raise unknown("method or folder", method, known)
    if inference and inference not in (rules := ("unified", "decoupled")):
        raise unknown("inference", inference, rules)


def compare(a: Sequence[Record], b: Sequence[Record]) -> list[Comparison]:
    """One comparison per table that both sides have a place in.

    Raises:
        UserError: the sides share no protocol and suite, or no data set and seed.
    """
    found = []
    for group in mixing.tables([*a, *b]):
        sides = [
            mixing.latest(r for r in group if any(r is own for own in side)) for side in (a, b)
        ]
        if all(sides):
            comparison = _of_table(sides[0], sides[1], among=[*a, *b])
            if comparison.differences:
                found.append(comparison)
    if not found:
        raise UserError(
            "the two have no data set and seed in common under the same protocol, suite, weights "
            "and shots; there is nothing to compare"
        )
    return found


def _of_table(a: Sequence[Record], b: Sequence[Record], among: Sequence[Record]) -> Comparison:
    _refuse_unpaired(a, b)
    first = a[0]
    protocol, usual = assemble.usual(first.protocol.name, suites.load(first.suite), None)
    columns = protocol.columns(gather.legs_of([*a, *b], usual))
    named = {(r.backbone.name, gather.weights_called(r, among)) for r in among}
    backbone = ""
    if len(named) > 1:
        backbone = f", {first.backbone.name} ({gather.weights_called(first, among)})"
    scores = [scores_by_seed(side) for side in (a, b)]
    seeds = sorted(set(scores[0]) & set(scores[1]))
    drawn = is_drawn(a) or is_drawn(b)
    both = shared([a, b])
    names = titles([a, b], without=both)
    pairs = {
        id(column): [
            (x, y)
            for seed in seeds
            if (x := column.value(scores[0][seed])) is not None
            and (y := column.value(scores[1][seed])) is not None
        ]
        for column in columns
    }
    return Comparison(
        title=f"{protocol.title} (v{protocol.version}), suite {first.suite}{backbone}",
        a=printable(names[0]),
        b=printable(names[1]),
        seeds=tuple(seeds),
        differences=tuple(
            _difference(
                column, pairs[id(column)], [pairs[id(member)] for member in column.members], drawn
            )
            for column in columns
            if pairs[id(column)]
        ),
        banner=standing.of_records([*a, *b]).banner,
        shared=tuple(map(printable, both)),
        mixed=tuple(map(printable, mixing.between(a, b))),
    )


def _refuse_unpaired(a: Sequence[Record], b: Sequence[Record]) -> None:
    """Refuse sides that have not seen the same images."""
    others = mixing.clash(a, b)
    if others:
        raise UserError(
            f"A and B have not seen the same images or class names: {'; '.join(others)}; run one "
            "of them again on the data of the other"
        )
    seen = {_place(r): r for r in a}
    for r in b:
        other = seen.get(_place(r))
        if other is None:
            continue
        if r.source.keys != other.source.keys:
            raise UserError(
                f"the records of {r.source.dataset}, seed {r.seed} have other few-shot subsets: "
                "they cannot be paired"
            )


def _place(r: Record) -> tuple[str, str, int, int]:
    return (r.source.dataset, r.source.classes, r.source.shots, r.seed)


Pairs = Sequence[tuple[float, float]]  # one per shared seed
_BOUNDS = (-100.0, 100.0)  # of a difference of accuracies


def _difference(column: Column, pairs: Pairs, members: Sequence[Pairs], drawn: bool) -> Difference:
    differences = [x - y for x, y in pairs]
    means = [statistics.fmean(x - y for x, y in each) for each in members if each]
    return Difference(
        group=printable(column.group),
        title=printable(column.title),
        a=statistics.fmean(x for x, _ in pairs),
        b=statistics.fmean(y for _, y in pairs),
        difference=estimate(statistics.fmean(differences), differences, _BOUNDS, drawn),
        over_seeds=t_test(differences),
        across=signed_rank_test(means) if column.members else None,
    )


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison and what its tests mean."""
    if comparison.banner:
        say(console, comparison.banner, style="yellow")
    say(console, comparison.title, style="bold")
    for letter, name in (("A", comparison.a), ("B", comparison.b)):
        say(console, f"{letter}: {name}")
    if comparison.shared:
        say(console, f"both: {'; '.join(comparison.shared)}")
    view = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    view.add_column("data set", overflow="fold")
    for heading in ("", "A", "B", "A - B", "n", "p, seeds", "p, data sets"):
        view.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    last = None
    for d in comparison.differences:
        if last is not None and d.group != last:
            view.add_section()
        group, last = (d.group if d.group != last else ""), d.group
        view.add_row(
            *map(Text, (group, d.title, *_figures(d, console.encoding))),
            style="bold" if d.across else "",
        )
    console.print(view)
    for note in _notes(comparison):
        say(console, note, style="dim")


def _figures(d: Difference, encoding: str) -> list[str]:
    shown = " ".join(filter(None, (f"{d.difference.mean:+.2f}", spread(d.difference, "+.2f"))))
    across = "" if d.across is None else f"{_p(d.across)} (n={d.across.n})"
    tests = (str(d.difference.n), _p(d.over_seeds), across)
    return [spelled(text, encoding) for text in (f"{d.a:.2f}", f"{d.b:.2f}", shown, *tests)]


def _p(test: PairedTest) -> str:
    return NOTHING if test.p is None else f"{test.p:.3f}" if test.p >= 0.001 else "<0.001"


def _notes(comparison: Comparison) -> list[str]:
    seeds = ", ".join(map(str, comparison.seeds))
    tests = [(d.over_seeds, d.across) for d in comparison.differences]
    reasons = dict.fromkeys(t.why for pair in tests for t in pair if t is not None and t.why)
    smallest = [d.across for d in comparison.differences if d.across and d.across.p is not None]
    notes = [
        f"paired: same few-shot subset, data order and test images per data set and seed ({seeds})",
        "A, B: means of each seed's value (a table takes its HM from mean base and mean new)",
        "A - B: mean over seeds; n counts them",
        *spread_notes(d.difference for d in comparison.differences),
        "p, seeds: two-sided paired t-test on the seeds' differences",
        "p, data sets: two-sided Wilcoxon signed-rank test on the data sets' mean differences",
        "p-values are not corrected for the number of rows",
        "differences of one data set share its test images: they tell nothing of other data sets",
    ]
    if smallest:
        n = min(test.n for test in smallest)
        notes.append(f"{n} data sets can give no p below {2 / 2**n:.3g}")
    notes += [f"{MIXED} {text}" for text in comparison.mixed]
    return [*notes, *(f"{NOTHING}: {reason}" for reason in reasons)]
