"""`promptbench machine`: the profiles of machines, and what workers see on them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from promptbench.cli.usage import examples
from promptbench.errors import UserError

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@click.group(epilog=examples("machine ls", "machine check lab.toml"))
def machine() -> None:
    """Profiles of machines, and what workers see there."""


@machine.command("ls", epilog=examples("machine ls"))
def list_() -> None:
    """List the profiles in the user's folder of machines."""
    from promptbench.planning import profiles

    folder = profiles.folder()
    found = sorted(folder.glob("*.toml"))
    if not found:
        click.echo(f"no profiles in {folder}: a file NAME.toml there is --machine NAME")
    for path in found:
        try:
            profile = profiles.load(path)
            said = ", ".join(f"{key} = {value}" for key, value in profile.options.items())
        except UserError as error:
            said = f"cannot be used: {error}"
        click.echo(f"{path.stem}: {said}")


@machine.command(epilog=examples("machine check lab.toml", "machine check lab --minutes 60"))
@click.argument("profile", type=click.Path(path_type=Path))
@click.option(
    "--minutes", type=float, default=10.0, show_default=True, help="How long to wait for workers."
)
def check(profile: Path, minutes: float) -> None:
    """Say what the workers of one tiny job see.

    It is submitted with PROFILE, a file or a name.

    Devices, versions against those here, the output folder, clocks, data, scratch folder, network,
    and whether claims hold between two workers. The exit code is 1 if something keeps a run from
    working.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from promptbench.planning import profiles
    from promptbench.support.safe_text import visible
    from promptbench.workers.probing import checking

    found = checking.check(
        profiles.load(profile), 60 * minutes, lambda text: click.echo(text, err=True)
    )
    view = Table("", "what", box=None, pad_edge=False)
    view.add_column("found", overflow="fold")  # paths are longer than a narrow terminal
    for each in found:
        style = _STYLES[each.level]
        view.add_row(Text(each.level, style=style), visible(each.subject), visible(each.text))
    Console().print(view)
    if any(each.level == "problem" for each in found):
        sys.exit(1)


@machine.command(hidden=True)
@click.argument("folder", type=click.Path(path_type=Path))
def probe(folder: Path) -> None:
    """Write what is seen here into FOLDER; `promptbench machine check` starts it on machines."""
    from promptbench.workers.probing import probe as worker

    worker.probe(folder)


COMMANDS = (machine,)
