"""`promptbench ls`, `info` and `doctor`: what there is."""

from __future__ import annotations

import sys

import click

from promptbench.cli.options import examples

_LISTS = ["methods", "protocols", "datasets", "suites", "grids", "analyses", "formats"]


@click.command("ls", epilog=examples("ls methods", "ls datasets"))
@click.argument("what", type=click.Choice(_LISTS))
def list_(what: str) -> None:
    """List methods, protocols, data sets or what else there is."""
    from rich.console import Console

    from promptbench import catalogue

    Console().print(catalogue.table(what))


@click.command(
    epilog=examples("info alignednorm", "info base_to_new", "info eurosat", "info my_method.py")
)
@click.argument("name")
def info(name: str) -> None:
    """Describe a method, protocol, data set or suite.

    NAME may be the .py file of a method that is not installed.
    """
    from rich.console import Console

    from promptbench import catalogue
    from promptbench.registry import METHODS

    catalogue.describe(METHODS.add_path(name), Console())


@click.command(epilog=examples("doctor"))
def doctor() -> None:
    """Show versions and devices, what is missing and what to do."""
    from rich.console import Console

    from promptbench import doctor as checks

    sys.exit(checks.report(Console()))


COMMANDS = (list_, info, doctor)
