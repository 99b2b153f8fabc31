"""`promptbench report` and `promptbench validate`: what is in records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promptbench.cli.options import names
from promptbench.errors import UserError


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--protocol", help="Only this protocol.")
@click.option("--method", "methods", callback=names, help="Only these methods.")
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
    print_tables(wanted, form)


@click.command()
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


def print_tables(records: Any, form: str) -> None:
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


COMMANDS = (report, validate)
