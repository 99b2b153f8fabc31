"""`promptbench report`: what records come to together."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli import mistakes, sensitivities, streams, sweeps, verified
from promptbench.cli import tables as tables_of
from promptbench.cli.options import (
    Listing,
    existing_root,
    figure_prefix,
    figures_options,
    metrics_option,
    names,
    plugins_option,
    refuse_page_alone,
)
from promptbench.cli.usage import examples
from promptbench.errors import UserError, unknown

if TYPE_CHECKING:
    from promptbench.figures.style import Page
    from promptbench.report.gather import Gathered

_MOST_NAMED = 5  # records that are left out


@click.command(
    cls=Listing,
    lists="FORMATS",
    epilog=examples(
        "report",
        "report runs other_runs --protocol few_shot --plot shots",
        "report --method coop,alignednorm --format latex",
        "report --plugin my_metric.py --metric accuracy,my_metric",
        "report --metric all --format csv",
        "report --format csv --per-seed",
        "report --protocol base_to_new --suite clip",
        "report --efficiency --plot costs",
        "report --errors --method coop --datasets dtd --plot errors",
        "report --sensitivity --plot settings",
        "report --sweep AlignedNorm.w_token,AlignedNorm.w_proj --plot norms",
    ),
)
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--protocol", help="Only this protocol.")
@click.option(
    "--suite",
    help="Only this suite; clip with --protocol shows published numbers without any record.",
)
@click.option("--method", "methods", callback=names, help="Only these methods.")
@metrics_option
@plugins_option
@click.option(
    "--format",
    "form",
    help="One of the formats above, or the .py file of one that is not installed.  "
    "[default: for the terminal]",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    callback=figure_prefix,
    help="Also write figures as PNG and SVG: PLOT of a metric over shots (few_shot), PLOT-ranks "
    "with the critical-difference diagram of ten datasets or more; with --efficiency, of the "
    "metric over what it costs; with --errors, four figures for each method and target; with "
    "--sweep, lines or heat maps; with --sensitivity, curves and bars.",
)
@click.option(
    "--all",
    "whole",
    is_flag=True,
    help="In a terminal, also empty rows, and published numbers of every dataset; all records "
    "that are left out.",
)
@click.option(
    "--efficiency",
    is_flag=True,
    help="What methods cost instead: parameters, time, memory, by device.",
)
@click.option(
    "--errors",
    is_flag=True,
    help="What goes wrong instead: confusions, worst classes, reliability, confident mistakes.",
)
@click.option(
    "--sweep",
    callback=names,
    help="The settings that vary, comma-separated, such as Recipe.lr: they become columns instead.",
)
@click.option(
    "--sensitivity",
    is_flag=True,
    help="How much tuned methods depend on their settings instead: accuracy over the budget, "
    "spread, which parameters matter.",
)
@click.option(
    "--per-seed",
    is_flag=True,
    help="The values of every seed instead, one a line, with suite, backbone, preset, overrides, "
    "selection and seed in columns, as for --format csv.",
)
@click.option("--datasets", callback=names, help="With --errors: only targets of these datasets.")
@click.option(
    "--top",
    type=click.IntRange(1),
    help="With --errors: rows of each table.  [default: 10]",
)
@click.option(
    "--pages",
    type=click.Path(path_type=Path),
    help="With --errors: also write a page for each record, with pictures, to this folder.",
)
@click.option(
    "--data",
    envvar="PROMPTBENCH_DATA",
    type=click.Path(path_type=Path),
    help="With --errors: the data root, for pictures; also PROMPTBENCH_DATA.",
)
@figures_options
def report(
    folders: tuple[Path, ...],
    protocol: str | None,
    suite: str | None,
    methods: list[str] | None,
    metrics: list[str] | None,
    form: str | None,
    plot: Path | None,
    whole: bool,
    efficiency: bool,
    errors: bool,
    sweep: list[str] | None,
    sensitivity: bool,
    per_seed: bool,
    datasets: list[str] | None,
    top: int | None,
    pages: Path | None,
    data: Path | None,
    page: Page,
) -> None:
    """Print the tables of all records in FOLDERS (default: runs).

    Records that cannot be read, or whose predictions cannot where they are needed, are left out
    and named; the exit code is then 1.
    """
    from promptbench.config import suites
    from promptbench.core.registry import FORMATS, METHODS
    from promptbench.records import scores
    from promptbench.report import assemble, gather, published
    from promptbench.support.prose import counted

    refuse_unknown(protocol, suite)
    refuse_page_alone(plot, page)
    if errors + efficiency + sensitivity + per_seed + bool(sweep) > 1:
        raise UserError(
            "--errors, --efficiency, --sweep, --sensitivity and --per-seed are reports of their "
            "own; ask for one of them"
        )
    if per_seed and plot is not None:
        raise UserError("--per-seed has no figure; leave --plot out")
    if errors and metrics:
        raise UserError("--errors shows what goes wrong, whatever the metric; leave --metric out")
    if not errors and (datasets or top or pages):
        raise UserError("--datasets, --top and --pages say what --errors shows; add --errors")
    if form is not None:
        form = FORMATS.load(FORMATS.add_path(form)).name
    asked = scores.load_all(metrics)
    places = folders or (Path("runs"),)
    keep = click.get_current_context().with_resource
    memory = keep(verified.opened())
    gathered: Gathered[Any]
    if errors:  # which looks at what outlines do not hold
        gathered = gather.read(places, memory, streams.progress())
    else:
        known = keep(verified.indexed())
        of_all = None if protocol or suite or methods else metrics
        gathered = gather.outlines(places, memory, known, streams.progress(), of_all)
    read, unread = gathered.records, gathered.unread
    scorers = scores.scorers(asked, gathered.folders, memory)
    if gathered.unchecked:
        some = counted(gathered.unchecked, "record")
        click.echo(f"note: no predictions lie beside {some}: counts not checked", err=True)
    methods = [published.called(name) for name in methods or ()]
    have = {record.method.name for record in read}
    for name in methods or ():
        if name not in (called := [*METHODS.names(), *published.methods(), *have]):
            raise unknown("method", name, called)
    by_path = {
        path: record
        for path, record in gathered.by_path.items()
        if protocol in (None, record.protocol.name)
        and suite in (None, record.suite)
        and (not methods or record.method.name in methods)
    }
    if any(metric.needs != "counts" for metric in asked) and not sensitivity:
        by_path, damaged = gather.readable(by_path, partial(scores.read_predictions, scorers))
        if damaged and not by_path:
            raise UserError(damaged[0])
        unread += damaged
    wanted = list(by_path.values())
    printed = assemble.printed_methods(methods)
    if scores.EVERY in (metrics or ()):
        scorers = tables_of.allowed(scorers, wanted)
    if wanted and errors:
        root = existing_root(data) if plot or pages else None
        asked_of = mistakes.Asked(form, plot, pages, datasets, top, root, page)
        unread += mistakes.show(by_path, gathered.folders(), asked_of)
    elif wanted and efficiency:
        tables_of.show_costs(wanted, scorers, form, plot, page)
    elif wanted and sensitivity:
        sensitivities.show(wanted, form, plot, page)
    elif wanted and per_seed:
        tables_of.show_seeds(wanted, scorers, form)
    elif wanted and sweep:
        sweeps.show(wanted, sweep, scorers, form, plot, page)
    if wanted and (errors or efficiency or sensitivity or per_seed or sweep):
        _leave_out(unread, whole)
        return
    if wanted:
        tables = [
            table
            for scorer in scorers
            for table in assemble.of_records(wanted, printed, scorer=scorer)
        ]
    elif (efficiency or errors or sweep or sensitivity or per_seed) and not (unread or read):
        shown = ", ".join(map(str, places))
        what = "costs" if efficiency else "mistakes" if errors else "settings"
        what = "seeds" if per_seed else what
        raise UserError(f"no records under {shown}, whose {what} could be shown")
    elif (
        not (efficiency or errors or sweep or sensitivity or per_seed)
        and suite is not None
        and protocol is not None
        and suites.load(suite).comparable
    ):
        tables = [assemble.without_records(protocol, suite, printed, scorer) for scorer in scorers]
    elif unread and not read:
        raise UserError(unread[0])
    elif read:
        raise UserError(f"none of the {len(read)} records fits --protocol, --suite and --method")
    else:
        shown = ", ".join(str(place) for place in places)
        raise UserError(
            f"no records under {shown}; `promptbench run` writes them "
            "(--suite clip with --protocol shows only published numbers)"
        )
    tables_of.show(tables, form, whole)
    if (
        form is not None and FORMATS.load(form).cls.suffix
    ):  # the file that it goes to need not hold the notes
        for remark in dict.fromkeys(r for scorer in scorers for r in scorer.remarks(wanted)):
            click.echo(f"note: {remark}", err=True)
    if plot is not None:
        tables_of.plot(tables, plot, page)
    _leave_out(unread, whole)


def _leave_out(unread: list[str], whole: bool) -> None:
    """Name the records that a table is without, of many the first unless the `whole` list is asked
    for, and end in 1 if there are any."""
    from rich.console import Console

    from promptbench.support.prose import counted, say
    from promptbench.support.safe_text import visible

    console = Console(stderr=True)
    named = unread if whole or len(unread) <= _MOST_NAMED else unread[:_MOST_NAMED]
    for reason in named:
        say(console, f"left out: {visible(reason)}")
    if len(named) < len(unread):
        more = counted(len(unread) - len(named), "more record")
        say(console, f"left out: {more} (--all names them)")
    if unread:
        say(console, f"the tables are without {counted(len(unread), 'record')}")
        sys.exit(1)


def refuse_unknown(protocol: str | None, suite: str | None) -> None:
    """Refuse a protocol or a suite that does not exist."""
    from promptbench.config import suites
    from promptbench.core.registry import PROTOCOLS

    if protocol is not None:
        PROTOCOLS.load(protocol)
    if suite is not None:
        suites.load(suite)


COMMANDS = (report,)
