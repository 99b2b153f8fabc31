"""The command line: parse, call, print. Heavy imports live inside the commands."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import click

from promptbench import __version__
from promptbench.errors import UserError

EXAMPLES = """\b
Examples:
  promptbench run --method alignednorm --protocol cross_dataset
  promptbench run --method coop,mmrlpp,alignednorm --protocol base_to_new --seeds 1,2,3
  promptbench run --method coop --protocol base_to_new --set "Recipe.epochs=50"
  promptbench run --method mmrlpp --protocol cross_dataset --suite clip --data ~/data
  promptbench ls methods
  promptbench report --format markdown
  promptbench doctor
"""


class _Commands(click.Group):
    """Turns UserError into one sentence and exit code 2, an interrupt into 130."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(
                "interrupted; finished cells are kept and a started training resumes from its last "
                "epoch: run the same command again",
                err=True,
            )
            sys.exit(130)


def _plain_warning(message: Any, *_: Any, **__: Any) -> str:
    return f"note: {message}\n"


@click.group(
    cls=_Commands, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="promptbench")
def main() -> None:
    """One benchmark suite for prompt-learning methods of vision-language models."""
    warnings.formatwarning = _plain_warning


def _names(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def _numbers(_: click.Context, __: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    try:
        return [int(part) for part in value.split(",") if part.strip()]
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 1,2,3") from error


@main.command(epilog=EXAMPLES)
@click.option(
    "--method", "methods", required=True, callback=_names, help="Methods, comma-separated."
)
@click.option("--protocol", required=True, help="The protocol (promptbench ls protocols).")
@click.option("--suite", help="demo or clip; demo while no data root is given.")
@click.option("--data", help="Data root with prepared shards; also PROMPTBENCH_DATA.")
@click.option("--backbone", help="An architecture of open_clip, e.g. ViT-B-16-quickgelu.")
@click.option("--weights", help="A pretrained tag of open_clip, or the path of a checkpoint.")
@click.option("--datasets", callback=_names, help="Only these data sets, comma-separated.")
@click.option("--shots", type=int, help="Training images per class.  [default: the suite's]")
@click.option("--seeds", callback=_numbers, help="Seeds, comma-separated.  [default: the suite's]")
@click.option("--preset", default="paper", show_default=True, help="paper or unified settings.")
@click.option("--inference", default="unified", show_default=True, help="unified or decoupled.")
@click.option("--gin", multiple=True, help="A gin file read after all others; may repeat.")
@click.option(
    "--set", "bindings", multiple=True, help='A binding "Name.parameter=value"; may repeat.'
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, bf16 or fp16.")
@click.option("--workers", default=2, show_default=True, help="Threads that decode images ahead.")
@click.option("--limit", type=int, help="Score only the first N images of each target.")
@click.option("--out", default="runs", show_default=True, help="Where records are written.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--wandb", default="off", show_default=True, help="off, offline or online.")
def run(methods: list[str], bindings: tuple[str, ...], dry_run: bool, **options: Any) -> None:
    """Run methods under a protocol and print the table.

    Finished cells are skipped, so the same command continues an interrupted run.
    """
    from promptbench.request import Request

    request = Request(methods=methods, set=bindings, **options)
    if dry_run:
        _print_plan(request)
        return
    from promptbench.runner import execute

    records = execute(request)
    _print_tables(records, "rich")


def _print_plan(request: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from promptbench import compute, plan

    made = plan.build(request, compute.resolve(request.device, request.precision).precision)
    done = {cell.id for cell in made.done()}
    table = Table("cell", "preset", "source", "targets", "epochs", "state")
    for cell in made.cells:
        source = cell.leg.source
        table.add_row(
            cell.label,
            cell.preset,
            f"{source.dataset}/{source.classes}, {source.shots} shots",
            ", ".join(target.key for target in cell.leg.targets),
            str(cell.recipe.get("epochs", "–")),
            "done" if cell.id in done else "to compute",
        )
    console = Console()
    console.print(table)
    console.print(
        f"{len(made.cells)} cells, {len(done)} done, {len(made.cells) - len(done)} to compute"
    )


def _print_tables(records: Any, form: str) -> None:
    from rich.console import Console

    from promptbench import render, report, suites
    from promptbench.registry import PROTOCOLS

    console = Console()
    for group in map(report.latest, report.groups(records)):
        protocol = PROTOCOLS.load(group[0].protocol.name).cls()
        banner = suites.load(group[0].suite).banner
        table = report.build(group, protocol, report.legs_of(group), banner)
        if form == "rich":
            render.to_rich(table, console)
        else:
            click.echo(render.FORMATS[form](table))


@main.command("ls")
@click.argument("what", type=click.Choice(["methods", "protocols", "datasets", "suites"]))
def list_(what: str) -> None:
    """List methods, protocols, data sets or suites."""
    from rich.console import Console

    from promptbench import catalogue

    Console().print(catalogue.table(what))


@main.command()
@click.argument("name")
def info(name: str) -> None:
    """Describe a method, protocol, data set or suite."""
    from rich.console import Console

    from promptbench import catalogue

    catalogue.describe(name, Console())


@main.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--protocol", help="Only this protocol.")
@click.option("--method", "methods", callback=_names, help="Only these methods.")
@click.option(
    "--format",
    "form",
    default="rich",
    show_default=True,
    type=click.Choice(["rich", "markdown", "latex", "csv", "json"]),
)
def report(
    folders: tuple[Path, ...], protocol: str | None, methods: list[str] | None, form: str
) -> None:
    """Print the tables of all records in FOLDERS (default: runs)."""
    from promptbench import records as store
    from promptbench.registry import PROTOCOLS

    if protocol is not None:
        PROTOCOLS.load(protocol)
    places = folders or (Path("runs"),)
    paths = store.find(places)
    if not paths:
        shown = ", ".join(str(place) for place in places)
        raise UserError(f"no records under {shown}; `promptbench run` writes them")
    read = [store.read(path) for path in paths]
    wanted = [
        record
        for record in read
        if protocol in (None, record.protocol.name)
        and (not methods or record.method.name in methods)
    ]
    if not wanted:
        raise UserError(f"none of the {len(read)} records fits --protocol and --method")
    _print_tables(wanted, form)


@main.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
def validate(records: tuple[Path, ...]) -> None:
    """Check record files against the schema, and recount them from their predictions."""
    from promptbench import records as store
    from promptbench.verify import recount

    paths = store.find(records)
    if not paths:
        raise UserError("no record.json under the given paths")
    for path in paths:
        recount(store.read(path), path.parent)
        click.echo(f"valid  {path}")


@main.command()
def doctor() -> None:
    """Show versions and devices, what is missing, and what to do about it."""
    from rich.console import Console

    from promptbench import doctor as checks

    sys.exit(checks.report(Console()))


if __name__ == "__main__":
    main()
