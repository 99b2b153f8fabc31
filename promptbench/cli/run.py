"""`promptbench run` and `promptbench plan`: computing cells, or saying what they would take."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli.asking import asked, asking_for_cells, computing, swept_by
from promptbench.cli.options import figure_prefix, figures_options, names, refuse_page_alone
from promptbench.cli.usage import examples
from promptbench.errors import UserError

if TYPE_CHECKING:
    from promptbench.core.metric import Metric
    from promptbench.figures.style import Page
    from promptbench.planning.plan import Plan
    from promptbench.records import Record


@click.command(
    epilog=examples(
        "run --method alignednorm --protocol cross_dataset",
        "run --method coop,mmrlpp,alignednorm --protocol base_to_new --seeds 1,2,3",
        "run --method coop,maple --protocol base_to_new,few_shot --jobs 2",
        "run --grid settings",
        "run --grid settings --method coop --seeds 1",
        "run --plugin my_metric.py --metric my_metric --method coop --protocol base_to_new",
        'run --method coop --protocol base_to_new --set "Recipe.epochs=50"',
        'run --method coop --protocol few_shot --sweep "Recipe.lr=1e-3,3e-3" --plot rates',
        "run --method mmrlpp --protocol cross_dataset --suite clip --data ~/data",
    )
)
@asking_for_cells()
@computing
@click.option("--dry-run", is_flag=True, help="Print the plan and stop, as `promptbench plan`.")
@click.option(
    "--print",
    "print_script",
    is_flag=True,
    help="Print the executor's batch script, to be submitted by hand, and stop.",
)
@click.option(
    "--metric",
    "metrics",
    callback=names,
    help="Metrics of the tables beside accuracy, comma-separated (promptbench ls metrics); all: "
    "every one that the records have values of.",
)
@click.option(
    "--plot",
    callback=figure_prefix,
    type=click.Path(path_type=Path),
    help="With --sweep: also write PLOT.png and PLOT.svg, lines for one setting, heat maps for "
    "several.",
)
@figures_options
def run(
    dry_run: bool,
    print_script: bool,
    metrics: list[str] | None,
    plot: Path | None,
    page: Page,
    **options: Any,
) -> None:
    """Run methods under protocols and print one table per protocol.

    Finished cells are skipped, so the same command continues an interrupted run; given twice at
    once, both share the work. A cell that fails is reported with its log and does not stop the
    others; the exit code is then 1.
    """
    refuse_page_alone(plot, page)
    swept = swept_by(**options)
    if plot is not None and not swept:
        raise UserError("--plot draws what --sweep varies; add --sweep, or use promptbench report")
    if dry_run:
        _forecast(options, metrics)
        return
    requests, machine = asked(**options)
    shown = _shown(metrics)
    from promptbench.cli import sweeps
    from promptbench.cli.tables import print_tables
    from promptbench.planning.plan import folders
    from promptbench.records import scores
    from promptbench.report.naming import titles_of
    from promptbench.running.failures import CellsFailed
    from promptbench.running.session import plans_of, run_plans, script_of
    from promptbench.storage.files import ensure_writable

    plans, compute = plans_of(requests, machine, writes=not print_script)
    if plot is not None and not print_script:
        ensure_writable(plot.parent, "--plot")  # now, and not after all is computed
    _say_what_is_refused(plans)
    if print_script:
        click.echo(script_of(plans, machine, compute), nl=False)
        return
    places = folders(plans)  # not all of --out, which may hold thousands of others
    titles, only_allowed = titles_of(plans), scores.EVERY in (metrics or ())

    def tell(records: Sequence[Record]) -> None:
        if swept:
            scorers = scores.scorers(shown, partial(scores.folders, places))
            sweeps.show(records, swept, scorers, None, plot, page)
        else:
            print_tables(records, titles, shown, places, only_allowed)

    try:
        records = run_plans(plans, machine, compute)
    except CellsFailed as error:
        if error.records:
            tell(error.records)
        raise
    tell(records)


def _say_what_is_refused(plans: Sequence[Plan]) -> None:
    """Say before anything is computed, in a line, what would keep the records off the leaderboard;
    `plan` has all of it."""
    from rich.console import Console

    from promptbench.leaderboard.checking import acceptance
    from promptbench.support.prose import say

    for note in acceptance.brief_of(plans):
        say(Console(stderr=True), note, style="dim")


@click.command(
    epilog=examples(
        "plan --method coop --protocol base_to_new,few_shot",
        "plan --method all --protocol base_to_new --seeds 1,2,3",
        "plan --grid settings",
    )
)
@asking_for_cells()
@click.option("--no-timing", is_flag=True, help="Measure nothing: times only from records.")
def plan(no_timing: bool, **options: Any) -> None:
    """Say what a run would take: cells, trainings, time, disk.

    Nothing is trained; where no earlier record shows how long a step takes, a few steps are
    measured and thrown away, unless --no-timing is given.
    """
    _forecast(options, timing=not no_timing)


def _forecast(
    options: dict[str, Any], metrics: Sequence[str] | None = None, timing: bool = True
) -> None:
    click.echo("planning: which cells there are, which are done, what the others take", err=True)
    from rich.console import Console

    gc.disable()  # until torch is imported: it leaves no garbage, and a search takes its time
    from promptbench.forecast import forecast
    from promptbench.forecast.show import show
    from promptbench.leaderboard.checking import acceptance
    from promptbench.support.prose import say
    from promptbench.tracking.terminal import Terminal

    gc.freeze()
    gc.enable()
    requests, machine = asked(**options)
    if metrics:
        _shown(metrics)  # what the run would refuse
    found = forecast(requests, machine, Terminal(), timing)
    show(found, Console())
    for note in acceptance.notes_of(found.plans):
        say(Console(), note)


def _shown(metrics: Sequence[str] | None) -> list[Metric]:
    """The metrics of the run's tables; the plugins among them are those of its requests."""
    from promptbench.core.metric import DEFAULT
    from promptbench.records import scores

    return scores.load_all([DEFAULT, *(metrics or ())])


COMMANDS = (run, plan)
