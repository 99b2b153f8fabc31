"""`promptbench ls`, `info`, `cite` and `doctor`: what there is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promptbench.cli import streams, verified
from promptbench.cli.options import existing, plugins_option
from promptbench.cli.usage import examples
from promptbench.support.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptbench.records import Record

KINDS = [
    "methods",
    "protocols",
    "metrics",
    "selections",
    "trackers",
    "executors",
    "analyses",
    "formats",
    "datasets",
    "suites",
    "weights",
    "grids",
]


@click.command("ls", epilog=examples("ls methods", "ls methods --backbone RN50", "ls datasets"))
@click.argument("what", type=click.Choice(KINDS))
@click.option("--backbone", help="Of methods: which run on this architecture, and why not.")
@plugins_option
def list_(what: str, backbone: str | None) -> None:
    """List methods, protocols, datasets and more."""
    from rich.console import Console

    from promptbench import catalogue

    Console().print(catalogue.table(what, backbone))


@click.command(
    epilog=examples(
        "info alignednorm",
        "info base_to_new",
        "info eurosat",
        "info my_method.py",
        "info ViT-L-14",
        "info remoteclip",
        "info ~/weights.pt",
    )
)
@click.argument("name")
@plugins_option
def info(name: str) -> None:
    """Describe a plugin, dataset, suite, backbone or weights.

    NAME may be the .py file of a plugin that is not installed, or a file or folder of weights.
    """
    from rich.console import Console

    from promptbench import catalogue
    from promptbench.core import registry

    if name.endswith(".py"):
        _, name = registry.add_file(Path(name))
    catalogue.describe(name, Console())


@click.command(
    epilog=examples(
        "cite coop alignednorm base_to_new eurosat > references.bib",
        "cite --runs runs > references.bib",
        "cite my_method --plugin my_method.py",
    )
)
@click.argument("names", nargs=-1)
@click.option(
    "--runs",
    multiple=True,
    callback=existing,
    type=click.Path(path_type=Path),
    help="Records or folders of them: cite what they used; several times if need be.",
)
@plugins_option
def cite(names: tuple[str, ...], runs: tuple[Path, ...]) -> None:
    """Print BibTeX of the suite and what was used.

    NAMES are methods, protocols and datasets, also with commas between them. What promptbench does
    not know of a paper, such as its authors, is listed in comments and left out. Records of --runs
    that cannot be read are named; the exit code is then 1.
    """
    from promptbench.catalogue import citing
    from promptbench.planning import given
    from promptbench.report import gather
    from promptbench.support.prose import counted

    records: Sequence[Record] = []
    unread: list[str] = []
    if runs:
        keep = click.get_current_context().with_resource
        memory, index = keep(verified.opened()), keep(verified.indexed())
        gathered = gather.outlines(runs, memory, index, streams.progress())
        records, unread = gathered.records, gathered.unread
        for line in unread:
            click.echo(f"not read: {line}", err=True)
        citing.refuse_empty(records, runs)
    wanted = given.names("names", names)
    click.echo(visible(citing.bibliography(wanted, records).text()), nl=False)
    if unread:
        click.echo(f"the references are without {counted(len(unread), 'record')}", err=True)
        sys.exit(1)


@click.command(epilog=examples("doctor"))
def doctor() -> None:
    """Show versions and devices, what is missing and what to do."""
    from rich.console import Console

    from promptbench.cli import doctor as checks

    sys.exit(checks.report(Console()))


COMMANDS = (list_, info, cite, doctor)
