"""`promptbench work`: the command that runs on the machines of a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from promptbench.cli.options import examples


@click.command(epilog=examples("work runs/.work/20260101-120000-abc123/plan.json"))
@click.argument("plan", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where the plan's output folder lies on this machine, if elsewhere.",
)
def work(plan: Path, out: Path | None) -> None:
    """Compute cells of a plan file, together with all others that do.

    Executors such as slurm and ray start this command on their machines; it may as well be started
    by hand, on any machine that sees the output folder. It ends when no cell is left, and may be
    stopped and started again at any time.
    """
    from promptbench.workers import work as worker

    failed = worker.carry_out(plan, out)
    if failed:
        click.echo(worker.about_failed(failed), err=True)


COMMANDS = (work,)
