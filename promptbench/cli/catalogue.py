"""`promptbench ls`, `info` and `doctor`: what there is."""

from __future__ import annotations

import sys

import click


@click.command("ls")
@click.argument("what", type=click.Choice(["methods", "protocols", "datasets", "suites", "grids"]))
def list_(what: str) -> None:
    """List methods, protocols, data sets, suites or grids."""
    from rich.console import Console

    from promptbench import catalogue

    Console().print(catalogue.table(what))


@click.command()
@click.argument("name")
def info(name: str) -> None:
    """Describe a method, protocol, data set or suite, or the method in a .py file."""
    from rich.console import Console

    from promptbench import catalogue
    from promptbench.registry import METHODS

    catalogue.describe(METHODS.add_path(name), Console())


@click.command()
def doctor() -> None:
    """Show versions and devices, what is missing, and what to do about it."""
    from rich.console import Console

    from promptbench import doctor as checks

    sys.exit(checks.report(Console()))


COMMANDS = (list_, info, doctor)
