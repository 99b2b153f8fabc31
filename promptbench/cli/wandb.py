"""`promptbench wandb`: sending finished cells later, and dashboards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptbench.cli.options import examples

_EXAMPLES = examples(
    "wandb sync runs",
    "wandb dashboard --entity ME",
)


@click.group(epilog=_EXAMPLES)
def wandb() -> None:
    """Weights & Biases: finished cells, dashboards."""


@wandb.command(
    epilog=examples(
        "wandb sync runs",
        "wandb sync runs/demo/base_to_new --project prompts --entity MY_TEAM",
        "wandb sync runs --mode offline --out logs",
    )
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--project", default="promptbench", show_default=True, help="The project.")
@click.option("--entity", help="User or team.  [default: your own]")
@click.option(
    "--mode",
    default="online",
    show_default=True,
    type=click.Choice(["online", "offline"]),
    help="offline writes only local files.",
)
@click.option(
    "--out",
    default=".",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the local files of runs go (its wandb/).",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="The data root, for thumbnails of mistakes.  [default: PROMPTBENCH_DATA]",
)
@click.option("--numbers-only", is_flag=True, help="Send no thumbnails and no learned parameters.")
def sync(
    runs: tuple[Path, ...],
    project: str,
    entity: str | None,
    mode: Any,
    out: Path,
    data: Path | None,
    numbers_only: bool,
) -> None:
    """Log the finished cells under RUNS, from their records, and a run with their tables."""
    from promptbench.support.prose import counted
    from promptbench.tracking import wandb_sync
    from promptbench.tracking.wandb_place import Place

    place = Place(mode, out, project, entity, numbers_only)
    count = wandb_sync.sync(runs, place, click.echo, data)
    click.echo(f"logged {counted(count, 'cell')} and their tables ({mode})", err=True)


@wandb.command(
    epilog=examples(
        "wandb dashboard --entity ME",
        "wandb dashboard --entity ME --dump workspace.json",
    )
)
@click.option("--entity", required=True, help="User or team.")
@click.option("--project", default="promptbench", show_default=True, help="The project.")
@click.option(
    "--dump",
    type=click.Path(path_type=Path),
    help="Write the workspace to this file as JSON and stop; needs no network.",
)
def dashboard(entity: str, project: str, dump: Path | None) -> None:
    """Save a workspace view of the project, and a report.

    Both have the same panels; needs the extra wandb-workspaces.
    """
    from promptbench.tracking import wandb_dashboard

    made = wandb_dashboard.workspace(entity, project)
    if dump is not None:
        wandb_dashboard.dump(made, dump)
        click.echo(f"wrote {dump}", err=True)
        return
    click.echo(wandb_dashboard.save(made))
    click.echo(wandb_dashboard.report(entity, project))


COMMANDS = (wandb,)
