"""`promptbench wandb`: sending finished cells later, dashboards, sweeps."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from promptbench.cli.asking import asked, asking_for_cells, computing
from promptbench.cli.usage import examples

if TYPE_CHECKING:
    from promptbench.planning.machine import Machine
    from promptbench.planning.request import Request

_EXAMPLES = examples(
    "wandb sync runs",
    "wandb dashboard --entity ME",
    "wandb sweep coop --protocol base_to_new -o sweep.yaml",
)


@click.group(epilog=_EXAMPLES)
def wandb() -> None:
    """Weights & Biases: finished cells, dashboards, sweeps."""


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
    """Log the finished cells under RUNS, and their tables."""
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


_OF_TRIALS = ("methods", "grid", "sweep", "preset", "inference", "select", "limit")


@wandb.command(
    epilog=examples(
        "wandb sweep coop --protocol base_to_new --datasets eurosat --seeds 1,2 -o sweep.yaml",
        "wandb sweep maple --strategy random --protocol base_to_new -o sweep.yaml",
    ),
)
@click.argument("method")
@click.option(
    "--strategy", default="bayes", show_default=True, help="bayes, random or grid, as W&B has them."
)
@click.option("--project", default="promptbench", show_default=True, help="The project.")
@click.option("-o", "file", type=click.Path(path_type=Path), help="The file.  [default: stdout]")
@asking_for_cells(without=_OF_TRIALS)
@computing
def sweep(method: str, strategy: str, project: str, file: Path | None, **options: Any) -> None:
    """Write a sweep file from a method's search space.

    It is for `wandb sweep`. All other options are those of `promptbench wandb trial`, which the
    agents of the sweep start: each trial is measured on validation images, and no test image is
    scored.
    """
    from promptbench.storage.files import write_whole
    from promptbench.tuning import wandb_sweep

    _one(method, **options)  # what is wrong is said now
    made = wandb_sweep.sweep(
        method, strategy, list(_given(click.get_current_context(), options)), project
    )
    text = _yaml(made)
    if file is None:
        click.echo(text, nl=False)
        return
    write_whole(file, text.encode())
    click.echo(f"wrote {file}; next: wandb sweep {file}, then wandb agent as it says", err=True)


def _given(ctx: click.Context, options: Container[str]) -> Iterator[str]:
    """The words of those options that the user has given, for another command."""
    for param in ctx.command.params:
        name = param.name or ""
        source = ctx.get_parameter_source(name)
        if name not in options or source is not ParameterSource.COMMANDLINE:
            continue
        value = ctx.params[name]
        if getattr(param, "is_flag", False):
            yield param.opts[0]
            continue
        for each in value if param.multiple else [value]:
            words = ",".join(map(str, each)) if isinstance(each, list) else str(each)
            yield from (param.opts[0], words)


def _yaml(data: Any) -> str:
    try:
        import yaml
    except ImportError as error:
        from promptbench.errors import UserError

        raise UserError(
            "sweeps need the package wandb, which brings PyYAML: pip install "
            "'promptbench-vlm[wandb]'"
        ) from error
    return str(yaml.safe_dump(data, sort_keys=False))


@wandb.command(
    epilog=examples(
        "wandb trial coop '{\"Recipe.lr\": 0.002}' --protocol base_to_new --wandb offline"
    )
)
@click.argument("method")
@click.argument("values")
@asking_for_cells(without=_OF_TRIALS)
@computing
def trial(method: str, values: str, **options: Any) -> None:
    """Compute one trial of a sweep.

    It is METHOD with VALUES, JSON by the names of parameters: one run of Weights & Biases, online
    unless --wandb offline, with the mean accuracy on validation images as validation/accuracy.
    """
    from promptbench.tracking.wandb_place import Mode, Place
    from promptbench.tuning import wandb_sweep

    request, machine = _one(method, **options)
    mode: Mode = "offline" if machine.wandb == "offline" else "online"
    accuracy = wandb_sweep.trial(request, values, machine, Place(mode, machine.out))
    click.echo(f"validation/accuracy {accuracy:.2f}")


def _one(method: str, **options: Any) -> tuple[Request, Machine]:
    """The request of a method under one protocol, and the machine."""
    from promptbench.errors import UserError

    requests, machine = asked(methods=[method], grid=None, **options)
    if len(requests) != 1:
        raise UserError("a trial is of one method under one protocol: --protocol names it")
    return requests[0], machine


COMMANDS = (wandb,)
