"""`promptbench run` and `promptbench plan`: computing cells, or saying what they would take."""

from __future__ import annotations

from typing import Any

import click

from promptbench.cli.options import EXAMPLES, asking_for_cells, requests_of


@click.command(epilog=EXAMPLES)
@asking_for_cells
@click.option("--dry-run", is_flag=True, help="Print the plan and stop, as `promptbench plan`.")
@click.option("--wandb", default="off", show_default=True, help="off, offline or online.")
def run(dry_run: bool, **options: Any) -> None:
    """Run methods under protocols and print one table per protocol.

    Finished cells are skipped, so the same command continues an interrupted run.
    """
    requests = requests_of(**options)
    if dry_run:
        _forecast(requests)
        return
    from promptbench.cli.results import print_tables
    from promptbench.report.naming import titles_of
    from promptbench.runner import execute

    print_tables(execute(requests), "rich", titles_of(requests))


@click.command()
@asking_for_cells
def plan(**options: Any) -> None:
    """Say what a run would compute, what is done, how long it takes and how much disk.

    Nothing is trained; where no earlier record tells how long a step takes, a few steps are
    measured and thrown away.
    """
    _forecast(requests_of(**options))


def _forecast(requests: list[Any]) -> None:
    from rich.console import Console

    from promptbench import forecast

    forecast.show(requests, Console())


COMMANDS = (run, plan)
