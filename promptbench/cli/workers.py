"""`promptbench work`, `status` and `cancel`: what a cluster computes, and what becomes of it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from promptbench.cli.usage import examples
from promptbench.errors import UserError
from promptbench.support import stopping

_LOOK_EVERY = 10.0  # seconds, of --watch


@click.command(
    epilog=examples(
        "work runs/.work/20260101-120000-abc123/plan.json",
        "work runs/.work/20260101-120000-abc123/plan.json --minutes 230",
    )
)
@click.argument("plan", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where the plan's output folder lies on this machine, if elsewhere.",
)
@click.option("--until", help="When its time is over, such as 2026-01-31T18:00.")
@click.option(
    "--minutes", type=float, help="How long it may take.  [default: as Slurm says, else no end]"
)
def work(plan: Path, out: Path | None, until: str | None, minutes: float | None) -> None:
    """Compute cells of a plan file, as one of its workers.

    Executors such as slurm and ray start this command on their machines; it may as well be started
    by hand, on any machine that sees the output folder. It ends when no cell is left, and may be
    stopped and started again at any time: by a signal, or shortly before its time is over, it saves
    and ends with code 75.
    """
    from promptbench.workers.looking_on.cancelling import is_cancelled
    from promptbench.workers.working.ending import ending
    from promptbench.workers.working.span import span_of

    folder = plan if plan.is_dir() else plan.parent
    span = span_of(until, minutes)
    with ending(folder, span):
        if is_cancelled(folder):
            click.echo(
                f"the plan {folder.name} was cancelled, so nothing is computed; a new submission "
                "is a new plan",
                err=True,
            )
            return
        with stopping.deferred():  # packages that are being imported make other errors of it
            from promptbench.workers.working import work as worker

        failed = worker.carry_out(plan, out, span=span)
        if failed:
            click.echo(worker.about_failed(failed), err=True)


@click.command(epilog=examples("status runs", "status runs --watch", "status runs --json"))
@click.argument("runs", default="runs", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Show it again every ten seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, for scripts.")
def status(runs: Path, watch: bool, as_json: bool) -> None:
    """Say how submitted plans stand, and who is at what.

    RUNS is their output folder (default: runs).

    Cells done, failed, being computed (where, for how long, how far) and left, how fast it goes and
    how long the rest takes. Only the folder is asked, from any machine that sees it.
    """
    from rich.console import Console

    from promptbench.workers.looking_on import holders, showing, standing

    console = Console()
    while True:
        found = standing.of_folder(runs, holders.holders, holders.attempts)
        if as_json:
            click.echo(json.dumps(standing.plain(found), indent=1))
        else:
            if watch and console.is_terminal:
                console.clear()
            showing.show(found, console)
        if not watch or found.is_over:
            break
        time.sleep(_LOOK_EVERY)
    if found.problems:
        sys.exit(1)


@click.command(epilog=examples("cancel runs", "cancel runs --plan 20260101-120000-abc123"))
@click.argument("runs", default="runs", type=click.Path(path_type=Path))
@click.option("--plan", help="Only this plan (`promptbench status` names them).")
def cancel(runs: Path, plan: str | None) -> None:
    """End the workers of submitted plans.

    RUNS is their output folder (default: runs).

    They save what they are at; what is finished is kept, and the same `promptbench run` goes on
    from there as a new plan.
    """
    from promptbench.workers.looking_on import cancelling

    if not runs.is_dir():
        raise UserError(f"{runs} is not a folder; pass the output folder of a run")
    for said in cancelling.cancel(runs, plan):
        click.echo(said)


COMMANDS = (work, status, cancel)
