"""`promptbench tune`: settings chosen by the same budget of trials for every method."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli.asking import asked, asking_for_cells, computing
from promptbench.cli.options import names
from promptbench.cli.usage import examples

if TYPE_CHECKING:
    from promptbench.planning.machine import Machine
    from promptbench.planning.request import Request
    from promptbench.tuning import Search


@click.command(
    epilog=examples(
        "tune --method coop,mmrlpp,alignednorm --protocol base_to_new --trials 12",
        "tune --method coop --protocol base_to_new --trials 20 --seeds 1,2,3 --jobs 2",
        "tune --method all --protocol base_to_new --dry-run",
        "tune --method coop --protocol cross_dataset --suite clip --data ~/data --jobs 8",
    )
)
@asking_for_cells(without=("grid", "sweep", "preset", "select"))
@click.option(
    "--trials",
    type=int,
    default=20,
    show_default=True,
    help="The budget: settings that are tried of each method on each source, its own among them.",
)
@computing
@click.option("--dry-run", is_flag=True, help="Say what it would take, and stop.")
@click.option(
    "--metric",
    "metrics",
    callback=names,
    help="Metrics of the tables beside accuracy, comma-separated (promptbench ls metrics).",
)
def tune(trials: int, dry_run: bool, metrics: list[str] | None, **options: Any) -> None:
    """Choose settings by validation accuracy and run them.

    Each trial trains a method with other values of its search space (docs/tuning.md) and is
    measured on few-shot validation images of the classes that it learns. Trials score no test
    image; only the best one of each source is run with the protocol's targets, as the preset
    tuned-N. Given again, the command goes on where it was stopped.
    """
    from promptbench.cli.tables import print_tables
    from promptbench.core.metric import DEFAULT
    from promptbench.records import scores
    from promptbench.tuning import searches
    from promptbench.tuning.showing import show_choices
    from promptbench.tuning.tune import tune as carried_out

    requests, machine = asked(grid=None, **options)
    found = searches(requests, trials, partial(click.echo, err=True))
    shown = scores.load_all([DEFAULT, *(metrics or ())])
    if dry_run:
        _forecast(found, requests, machine)
        return
    tuned = carried_out(found, requests, machine)
    show_choices(tuned.choices)
    every = scores.EVERY in (metrics or ())
    print_tables(tuned.records, None, shown, tuned.folders, every)


def _forecast(searches: Sequence[Search], requests: Sequence[Request], machine: Machine) -> None:
    """Print what all trials would take, and what they choose: until they are done, the first stands
    for the chosen one, whose scoring takes as long."""
    from rich.console import Console

    from promptbench.forecast import forecast
    from promptbench.forecast.show import show
    from promptbench.running import session
    from promptbench.tracking.terminal import Terminal
    from promptbench.tuning.tune import finals_of, trial_plans

    built = trial_plans(searches, machine, session.compute_of(machine, writes=False))
    finals, _ = finals_of(searches, requests, built, machine, supposed=True)
    trials = [request for search in searches for request in search.trials()]
    show(forecast([*trials, *finals], machine, Terminal()), Console())


COMMANDS = (tune,)
