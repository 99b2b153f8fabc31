"""`promptbench ls`, `info` and `doctor`: what there is."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from promptbench.cli.options import examples


@click.command("ls", epilog=examples("ls methods", "ls datasets"))
@click.argument(
    "what", type=click.Choice(["methods", "protocols", "metrics", "datasets", "suites", "grids"])
)
def list_(what: str) -> None:
    """List methods, protocols, metrics, data sets, suites or grids."""
    from rich.console import Console

    from promptbench import catalogue

    Console().print(catalogue.table(what))


@click.command(
    epilog=examples("info alignednorm", "info base_to_new", "info eurosat", "info my_method.py")
)
@click.argument("name")
def info(name: str) -> None:
    """Describe a method, protocol, metric, data set or suite.

    NAME may be the .py file of a plugin that is not installed.
    """
    from rich.console import Console

    from promptbench import catalogue
    from promptbench.registry import add_file

    if name.endswith(".py"):
        _, name = add_file(Path(name))
    catalogue.describe(name, Console())


@click.command(epilog=examples("doctor"))
def doctor() -> None:
    """Show versions and devices, what is missing and what to do."""
    from rich.console import Console

    from promptbench import doctor as checks

    sys.exit(checks.report(Console()))


COMMANDS = (list_, info, doctor)
