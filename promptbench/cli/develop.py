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


@click.group(epilog=examples("new method my_method"))
def new() -> None:
    """Write the package of a plugin of your own."""


_in = click.option(
    "--in",
    "parent",
    default=".",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder in which the package's folder is made.",
)


@new.command("method", epilog=examples("new method my_method", "new method my_method --in ~/code"))
@click.argument("name")
@_in
def new_method(name: str, parent: Path) -> None:
    """Write a working package for a method NAME.

    It has a module, its gin file, tests, an entry point and a README, and passes the contract.
    """
    from promptbench.scaffold import write_method

    _say_written(name, write_method(name, parent))


@new.command("protocol", epilog=examples("new protocol thirds", "new protocol thirds --in ~/code"))
@click.argument("name")
@_in
def new_protocol(name: str, parent: Path) -> None:
    """Write a working package for a protocol NAME.

    It has a module, its gin file, tests, an entry point and a README, and passes the contract.
    """
    from promptbench.scaffold import write_protocol

    _say_written(name, write_protocol(name, parent))


def _say_written(name: str, folder: Path) -> None:
    click.echo(f"wrote {folder}; it passes its own tests and the contract as it is:")
    click.echo(f"  pytest {folder}")
    click.echo(f"  promptbench check {folder / f'promptbench_{name}' / f'{name}.py'}")


@click.command(epilog=examples("check coop", "check my_method.py --seed 7", "check my_protocol.py"))
@click.argument("plugin")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="Methods: draw class names, images, batches and CLIPs from this seed; by itself another "
    "each time.",
)
def check(plugin: str, seed: int | None) -> None:
    """Check that a method or a protocol keeps its contract.

    PLUGIN is a name, or the path of a .py file. Says for each point what held or broke, with the
    number; exits with 1 if one broke. A method is asked under a spy.
    """
    from rich.console import Console

    from promptbench import registry

    kind, name = registry.located(plugin, tuple(_CHECKS))
    loaded = kind.load(name)
    verdicts, remarks = _CHECKS[kind.kind](loaded, plugin, seed)
    console = Console()
    console.print(_verdicts(loaded, verdicts))
    broken = sum(not verdict.held for verdict in verdicts)
    held = len(verdicts) - broken
    console.print(f"{held} of {len(verdicts)} points hold" + (f", {broken} broke" * bool(broken)))
    for remark in remarks:
        console.print(remark, soft_wrap=True)
    sys.exit(1 if broken else 0)


def _check_method(plugin: Plugin[Any], where: str, seed: int | None) -> tuple[Any, list[str]]:
    import secrets

    from promptbench.contract.checkup import checkup

    seed = secrets.randbelow(2**32) if seed is None else seed
    again = f"the same draw again: promptbench check {where} --seed {seed}"
    return checkup(plugin, seed, where=where), [again, _UNSEEN]


def _check_protocol(plugin: Plugin[Any], _: str, __: int | None) -> tuple[Any, list[str]]:
    from promptbench.contract.protocols import checkup

    return checkup(plugin), []


_CHECKS = {"method": _check_method, "protocol": _check_protocol}  # by the kind of plugin


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
