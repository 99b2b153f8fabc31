"""What commands share: the parsing of lists, names of files and plugins, options of figures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.errors import UserError
from promptbench.support.safe_text import printable

if TYPE_CHECKING:
    from promptbench.figures.style import Page


def names(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    """Names separated by commas."""
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def numbers(_: click.Context, __: click.Parameter, value: str | None) -> list[int] | None:
    """Whole numbers separated by commas."""
    if value is None:
        return None
    try:
        return [int(part) for part in value.split(",") if part.strip()]
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 1,2,3") from error


class Listing(click.Command):
    """A command whose help lists the plugins of a kind, which are looked up only then.

    Args:
        lists: the name of a registry in `promptbench.core.registry`.
        further: what may stand in the place of a plugin's name, with its meaning.
    """

    def __init__(self, *args: Any, lists: str, further: Sequence[tuple[str, str]] = (), **kw: Any):
        super().__init__(*args, **kw)
        self._lists, self._further = lists, further

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from promptbench.core import registry

        kind = getattr(registry, self._lists)
        found = [(name, printable(kind.about(name))) for name in kind.names()]
        with formatter.section(self._lists.capitalize()):
            formatter.write_dl([*found, *self._further])
        super().format_options(ctx, formatter)


def figure_prefix(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """Return where figures go; `.png` or `.svg` is taken off, since both are written."""
    if value is None or value.suffix.lower() in (".png", ".svg"):
        return value and value.with_suffix("")
    if value.suffix.lower() in (".pdf", ".eps", ".jpg", ".jpeg"):
        raise click.BadParameter(
            f"figures are written as PNG and SVG, with --paper also as PDF, not as "
            f"{value.suffix[1:]}: give the name without {value.suffix}"
        )
    return value


def figures_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --paper and --style of all commands that draw, as one parameter `page`."""

    @functools.wraps(command)
    def told(*args: Any, paper: Any, style: str | None, **more: Any) -> Any:
        from promptbench.figures.style import Page, read_style

        read_style(style)  # what is wrong with it is said before anything is computed
        return command(*args, page=Page(paper, style), **more)

    for option in reversed(_FIGURES):
        told = option(told)
    return told


def refuse_page_alone(plot: Path | None, page: Page) -> None:
    """Refuse how figures are to look where none are asked for."""
    if plot is None and (page.paper or page.style):
        raise UserError("--paper and --style say how figures look; add --plot NAME")


def tell_figure(paths: Sequence[Path], page: Page) -> None:
    """Say which files a figure was written to, and that it is too tall for its page if it is."""
    from promptbench.figures.sheet import size_note

    for path in paths:
        click.echo(f"wrote {path}", err=True)
    if (note := size_note(paths, page)) is not None:
        click.echo(f"note: {note}", err=True)


_FIGURES = (
    click.option(
        "--paper",
        type=click.Choice(["single", "double"]),
        help="Figures for a paper: one column wide (3.25 inches) or two (6.75), letters of 8 "
        "points as they print, no title, and a PDF beside the others.",
    ),
    click.option(
        "--style",
        help="A matplotlib style for figures on top of ours: a name, or the file of one.",
    ),
)


def existing(_: click.Context, __: click.Parameter, value: tuple[Path, ...]) -> tuple[Path, ...]:
    """Files and folders to read from, refused where there is nothing."""
    from promptbench.storage import reading

    for path in value:
        if not reading.exists(path):
            raise UserError(f"{path} does not exist")
    return value


def data_root(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """A data root that is a folder, with ~ replaced."""
    return existing_root(value)


def existing_root(value: Path | None) -> Path | None:
    """A data root with ~ replaced, refused if it is not a folder."""
    if value is None:
        return None
    root = value.expanduser()
    if not root.is_dir():
        raise UserError(f"the data root {value} (--data or PROMPTBENCH_DATA) is not a folder")
    return root


def add_plugins(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Files of plugins, known by their names from here on."""
    if value:
        from promptbench.core import registry

        registry.add_files(value)
    return value


PLUGIN = "The .py file of a plugin that is not installed, of any kind; may repeat."
metrics_option = click.option(
    "--metric",
    "metrics",
    callback=names,
    help="Metrics, comma-separated (promptbench ls metrics); all: every one that the records have "
    "values of.  [default: accuracy]",
)
again_option = click.option(
    "--all",
    "again",
    is_flag=True,
    help="Verify everything again, also what was verified before by this version of promptbench.",
)
class_texts_option = click.option(
    "--class-texts",
    multiple=True,
    help="A JSON file of sentences per class, or a folder with a DATASET.json for each dataset; "
    "DATASET=FILE for one dataset; may repeat.  [default: that of a dataset's card]",
)
# For commands that need the plugins of records, whose names they read.
plugins_option = click.option(
    "--plugin",
    multiple=True,
    callback=add_plugins,
    is_eager=True,  # other options may name what is in it
    expose_value=False,
    help=PLUGIN,
)
