"""`promptbench new` and `promptbench check`: for authors of plugins."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli.options import examples

if TYPE_CHECKING:
    from promptbench.registry import Plugin


_UNSEEN = (
    "no check sees what compiled code reads from memory or files, what threads of other libraries "
    "do, a function put elsewhere and taken back, nor what a method does only when it takes itself "
    "to be in a run: there, looks at frames, heap and results are refused (SECURITY.md)"
)


_NAME = click.argument("name")
_PARENT = click.option(
    "--in",
    "parent",
    default=".",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder in which the package's folder is made.",
)


@click.group(epilog=examples("new method my_method", "new protocol my_protocol"))
def new() -> None:
    """Write the package of a plugin of your own."""


@new.command("method", epilog=examples("new method my_method", "new method my_method --in ~/code"))
@_NAME
@_PARENT
def new_method(name: str, parent: Path) -> None:
    """Write a working package for a method NAME.

    It has a module, its gin file, tests, an entry point and a README, and passes the contract.
    """
    _write("method", name, parent)


@new.command("protocol", epilog=examples("new protocol my_protocol", "new protocol thirds --in ~"))
@_NAME
@_PARENT
def new_protocol(name: str, parent: Path) -> None:
    """Write a working package for a protocol NAME.

    It has a module, its gin file, tests, an entry point and a README, and passes the contract.
    """
    _write("protocol", name, parent)


def _write(kind: str, name: str, parent: Path) -> None:
    from promptbench.scaffold import write_package

    folder = write_package(kind, name, parent)
    click.echo(f"wrote {folder}; it passes its own tests and the contract as it is:")
    click.echo(f"  pytest {folder}")
    click.echo(f"  promptbench check {folder / f'promptbench_{name}' / f'{name}.py'}")


@click.command(
    epilog=examples(
        "check coop", "check my_method.py", "check my_protocol.py", "check coop --seed 7"
    )
)
@click.argument("plugin")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="Draw what it is tried on from this seed; by itself another each time.",
)
def check(plugin: str, seed: int | None) -> None:
    """Check that a plugin keeps the contract of its kind.

    PLUGIN is the name of a method or a protocol, or the path of a .py file. A method is run under a
    spy. Says for each point what held or broke, with the number; exits with 1 if one broke.
    """
    import secrets

    from rich.console import Console

    from promptbench.contract import checkup, protocols
    from promptbench.registry import located

    checkups = {"method": checkup.checkup, "protocol": protocols.checkup}
    registry, name = located(plugin, checkups)
    loaded = registry.load(name)
    seed = secrets.randbelow(2**32) if seed is None else seed
    verdicts = checkups[registry.kind](loaded, seed, plugin)
    console = Console()
    console.print(_verdicts(loaded, verdicts))
    broken = sum(not verdict.held for verdict in verdicts)
    held = len(verdicts) - broken
    console.print(f"{held} of {len(verdicts)} points hold" + (f", {broken} broke" * bool(broken)))
    if registry.kind != "protocol":  # of which nothing is drawn
        again = f"the same draw again: promptbench check {plugin} --seed {seed}"
        console.print(again, soft_wrap=True)
    if registry.kind == "method":
        console.print(_UNSEEN, soft_wrap=True)
    sys.exit(1 if broken else 0)


def _verdicts(plugin: Plugin[Any], verdicts: Any) -> Any:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    title = f"{plugin.cls.title} ({plugin.name}, from {plugin.provider})"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=escape(title), title_justify="left")
    for heading in ("", "point of the contract", "measured"):
        table.add_column(heading)
    for verdict in verdicts:
        mark = "[green]held[/]" if verdict.held else "[red]BROKE[/]"
        table.add_row(mark, escape(verdict.point), escape(verdict.detail))
    return table


COMMANDS = (new, check)
