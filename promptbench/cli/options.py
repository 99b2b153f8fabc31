"""What commands share: the parsing of lists, and the options that ask for cells."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.errors import UserError
from promptbench.support.safe_text import printable

if TYPE_CHECKING:
    from promptbench.figures.style import Page
    from promptbench.planning.grids import Grid
    from promptbench.planning.machine import Machine
    from promptbench.planning.request import Request


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
    for path in value:
        if not path.exists():
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


_PLUGIN = "The .py file of a plugin that is not installed, of any kind; may repeat."
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
    help=_PLUGIN,
)


_WHAT = (
    click.option(
        "--method",
        "methods",
        callback=names,
        help="Methods, comma-separated; all for every one that fits the protocol.",
    ),
    click.option(
        "--protocol",
        "protocols",
        callback=names,
        help="Protocols, comma-separated (promptbench ls protocols), or all.",
    ),
    click.option(
        "--grid",
        help="A grid of methods, protocols and settings: a name or a gin file. Options beside it "
        "replace what it says of the same; --set adds to each of its rows.",
    ),
    click.option(
        "--suite", help="demo or clip; demo while neither a data root nor a real backbone is given."
    ),
    click.option("--data", help="Data root with prepared shards; also PROMPTBENCH_DATA."),
    click.option(
        "--backbone",
        help="An architecture of open_clip, e.g. ViT-B-16-quickgelu, or a preset of published "
        "weights, e.g. remoteclip (promptbench ls weights).",
    ),
    click.option(
        "--weights",
        help="A pretrained tag of open_clip, or the path of a file or folder of weights.",
    ),
    click.option("--datasets", callback=names, help="Only these datasets, comma-separated."),
    click.option(
        "--shots",
        callback=numbers,
        help="Training images per class, comma-separated: a training for each number.  "
        "[default: the suite's or protocol's]",
    ),
    click.option(
        "--seeds", callback=numbers, help="Seeds, comma-separated.  [default: the suite's]"
    ),
    click.option("--preset", help="paper or unified settings.  [default: paper]"),
    click.option(
        "--inference",
        help="unified, decoupled, or auto: both from one training where a paper is decoupled.  "
        "[default: auto]",
    ),
    click.option(
        "--select",
        callback=names,
        help="Which state of a training is scored, comma-separated: last, validation (each a row "
        "of its own, from one training; promptbench ls selections).  [default: the protocol's]",
    ),
    click.option("--gin", multiple=True, help="A gin file read after all others; may repeat."),
    click.option(
        "--set", "bindings", multiple=True, help='A binding "Name.parameter=value"; may repeat.'
    ),
    click.option(
        "--sweep",
        multiple=True,
        help='A setting with several values, "Name.parameter=value,value"; several sweeps give all '
        "combinations, each a row.",
    ),
    class_texts_option,
    click.option("--plugin", multiple=True, help=_PLUGIN),
    click.option("--device", help="auto, cpu, cuda or cuda:N.  [default: auto]"),
    click.option("--precision", help="auto, fp32, bf16 or fp16.  [default: auto]"),
    click.option(
        "--compile",
        is_flag=True,
        default=None,
        help="torch.compile, with CUDA graphs on a GPU.",
    ),
    click.option(
        "--graphs/--no-graphs",
        default=None,
        help="Whether a GPU may replay training steps as CUDA graphs, with equal bits.  "
        "[default: graphs]",
    ),
    click.option(
        "--class-chunk", type=int, help="Class prompts kept at a time.  [default: automatic]"
    ),
    click.option(
        "--workers",
        type=int,
        help="Threads that decode images ahead.  [default: one per core, shared by --jobs]",
    ),
    click.option(
        "--augment",
        help="Where training images are cropped: auto, host or device.  [default: auto]",
    ),
    click.option("--limit", type=int, help="Score only the first N images of each target."),
    click.option("--out", help="Where records are written.  [default: runs]"),
    click.option(
        "--machine",
        help="The profile of the machines to compute on: a TOML file, or its name in the user's "
        "folder of machines.",
    ),
)


_HOW = (
    click.option(
        "--jobs",
        type=int,
        help="Processes, on several GPUs in turn; on other machines, workers.  [default: 1; on a "
        "CPU, as many as a model of few threads, such as the demo's, leaves cores for]",
    ),
    click.option("--per-gpu", type=int, help="Processes for each GPU, here or of each worker."),
    click.option(
        "--on",
        help="The executor, where cells are computed (promptbench ls executors).  [default: local; "
        "processes with --jobs above 1]",
    ),
    click.option("--address", help="Where the executor finds its engine, if it takes that."),
    click.option(
        "--retry-failed", is_flag=True, default=None, help="Try cells again that failed before."
    ),
    click.option(
        "--checkpoint-minutes",
        type=float,
        help="Between checkpoints within an epoch; one follows every epoch.  [default: 5]",
    ),
    click.option(
        "--track",
        multiple=True,
        default=None,
        help="Trackers beside the terminal and log.jsonl, comma-separated (promptbench ls "
        "trackers), with what they take after a colon: wandb:online; may repeat.",
    ),
    click.option(
        "--wandb",
        help="off, offline or online; adds --track wandb:offline or wandb:online.  [default: off]",
    ),
)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def asking_for_cells(without: Sequence[str] = ()) -> Decorator:
    """The options with which `run`, `plan` and `tune` say what is to be computed, but those whose
    parameters are named."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(_WHAT):
            command = option(command)
        declared: list[click.Option] = command.__click_params__  # type: ignore[attr-defined]
        declared[:] = [each for each in declared if each.name not in without]
        return command

    return decorate


def computing(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options with which `run` and `tune` say where and how it is computed."""
    for option in reversed(_HOW):
        command = option(command)
    return command


def asked(
    methods: list[str] | None,
    protocols: list[str] | None,
    grid: str | None,
    bindings: tuple[str, ...],
    **options: Any,
) -> tuple[list[Request], Machine]:
    """The requests and the machine of these options; --method and --protocol win over the grid."""
    import dataclasses

    from promptbench.planning import edge

    _refuse_grids(options["gin"])
    wanted = _grid(grid)
    if methods:
        wanted = dataclasses.replace(wanted, methods=tuple(methods))
    if protocols:
        wanted = dataclasses.replace(wanted, protocols=tuple(protocols))
    return edge.asked(wanted, {**options, "set": bindings, "fill_cores": True})


def swept_by(grid: str | None, sweep: tuple[str, ...], **_: Any) -> list[str]:
    """The settings that these options sweep, as tables call them."""
    from promptbench.planning import sweeps

    return sweeps.names(_grid(grid).swept({"sweep": sweep}))


def _grid(name: str | None) -> Grid:
    from promptbench.planning import grids

    return grids.load(name) if name else grids.Grid()


def _refuse_grids(files: Sequence[str]) -> None:
    """Files of settings that bind a grid are meant for another option."""
    for path in map(Path, files):
        if path.is_file() and re.search(rb"^\s*Grid\.", path.read_bytes(), re.MULTILINE):
            raise UserError(f"--gin {path}: this is a grid file; use --grid {path}")
