"""`promptbench new` and `promptbench check`: for authors of plugins."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli.options import plugins_option
from promptbench.cli.usage import examples

if TYPE_CHECKING:
    from promptbench.contract.verdicts import CheckResult
    from promptbench.core.registry import Plugin


@dataclass(frozen=True)
class _Kind:
    """What both commands say and do for a kind of plugin.

    The templates of its package lie in `promptbench/scaffold/templates/<name>/`; `has` says in
    words what is in the package. `contract` is the module with `checkup(plugin, seed, where)`;
    `drawn` whether that draws from its seed; `unseen` what its checks cannot see.
    """

    name: str
    has: str
    contract: str
    drawn: bool = True
    unseen: str = ""

    @property
    def checkup(self) -> Callable[..., list[CheckResult]]:
        found: Callable[..., list[CheckResult]] = importlib.import_module(self.contract).checkup
        return found


_KINDS = {
    kind.name: kind
    for kind in (
        _Kind(
            "method",
            "a module, its gin file, tests",
            "promptbench.contract.checkup",
            unseen="no check sees what compiled code reads from memory or files, what threads of "
            "other libraries do, a function put elsewhere and taken back, nor what a method does "
            "only when it takes itself to be in a run: there, looks at frames, heap and results "
            "are refused (SECURITY.md)",
        ),
        _Kind(
            "protocol",
            "a module, its gin file, tests",
            "promptbench.contract.protocols",
            drawn=False,
        ),
        _Kind("metric", "a module, a test", "promptbench.contract.metrics"),
    )
}


@click.group(epilog=examples(*(f"new {name} my_{name}" for name in _KINDS)))
def new() -> None:
    """Write the package of a plugin of your own."""


def _new(kind: _Kind) -> click.Command:
    """The command that writes the package of a kind."""
    call = f"new {kind.name} my_{kind.name}"

    @click.command(
        kind.name,
        help=f"Write a working package for a {kind.name} NAME.\n\n"
        f"It has {kind.has}, an entry point and a README, and passes the contract.",
        epilog=examples(call, f"{call} --in ~/code"),
    )
    @click.argument("name")
    @click.option(
        "--in",
        "parent",
        default=".",
        show_default=True,
        type=click.Path(path_type=Path),
        help="Folder in which the package's folder is made.",
    )
    def command(name: str, parent: Path) -> None:
        from promptbench.scaffold import write_package

        folder = write_package(kind.name, name, parent)
        click.echo(f"wrote {folder}; it passes its own tests and the contract as it is:")
        click.echo(f"  pytest {folder}")
        click.echo(f"  promptbench check {folder / f'promptbench_{name}' / f'{name}.py'}")

    return command


for _kind in _KINDS.values():
    new.add_command(_new(_kind))


_CALLS = ("check coop", *(f"check my_{name}.py" for name in _KINDS), "check coop --seed 7")


@click.command(epilog=examples(*_CALLS))
@click.argument("given", metavar="PLUGIN")
@plugins_option
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="Draw what it is tried on from this seed; by itself another each time.",
)
def check(given: str, seed: int | None) -> None:
    """Check that a plugin keeps the contract of its kind.

    PLUGIN is the name of a method, a protocol or a metric, or the path of a .py file; --plugin adds
    those that it names itself, such as a protocol's selection rule. A method is run under a spy.
    Says for each point what held or broke, with the number; exits with 1 if one broke.
    """
    import secrets

    from rich.console import Console

    from promptbench.core.registry import located
    from promptbench.support.prose import say

    registry, name = located(given, _KINDS)
    kind, loaded = _KINDS[registry.kind], registry.load(name)
    seed = secrets.randbelow(2**32) if seed is None else seed
    verdicts = kind.checkup(loaded, seed, given)
    console = Console()
    console.print(_verdicts(loaded, verdicts))
    broken = sum(not verdict.held for verdict in verdicts)
    held = len(verdicts) - broken
    console.print(f"{held} of {len(verdicts)} points hold" + (f", {broken} broke" * bool(broken)))
    if kind.drawn:
        again = f"the same draw again: promptbench check {given} --seed {seed}"
        console.print(again, soft_wrap=True)  # to be copied
    if kind.unseen:
        say(console, kind.unseen)
    sys.exit(1 if broken else 0)


def _verdicts(plugin: Plugin[Any], verdicts: Any) -> Any:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    title = f"{plugin.cls.title} ({plugin.name}, from {plugin.provider})"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=escape(title), title_justify="left")
    for heading in ("", "point of the contract", "measured"):
        table.add_column(heading, overflow="fold")  # a word that is cut off cannot be searched for
    for verdict in verdicts:
        mark = "[green]held[/]" if verdict.held else "[red]BROKE[/]"
        table.add_row(mark, escape(verdict.point), escape(verdict.detail))
    return table


COMMANDS = (new, check)
