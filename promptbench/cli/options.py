"""What commands share: examples, the parsing of lists, and the options that ask for cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from promptbench.errors import UserError


def examples(*lines: str) -> str:
    """The epilog of a command's help: calls of it that are worth copying."""
    return "\n".join(("\b", "Examples:", *(f"  promptbench {line}" for line in lines)))


def names(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [part.strip() for part in value.split(",") if part.strip()]


def numbers(_: click.Context, __: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    try:
        return [int(part) for part in value.split(",") if part.strip()]
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 1,2,3") from error


def existing(_: click.Context, __: click.Parameter, value: tuple[Path, ...]) -> tuple[Path, ...]:
    """Files and folders to read from, refused where there is nothing."""
    for path in value:
        if not path.exists():
            raise UserError(f"{path} does not exist")
    return value


def data_root(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """A data root that is a folder, with ~ replaced."""
    if value is None:
        return None
    root = value.expanduser()
    if not root.is_dir():
        raise UserError(f"the data root {value} (--data or PROMPTBENCH_DATA) is not a folder")
    return root


def add_plugins(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Files of plugins, known by their names from here on."""
    if value:
        from promptbench import registry

        for path in value:
            registry.add_file(Path(path))
    return value


metrics_option = click.option(
    "--metric",
    "metrics",
    callback=names,
    help="Metrics, comma-separated (promptbench ls metrics).  [default: accuracy]",
)
plugins_option = click.option(
    "--plugin",
    multiple=True,
    callback=add_plugins,
    is_eager=True,  # other options may name what is in it
    expose_value=False,
    help="The .py file of a plugin that is not installed; may repeat.",
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
    click.option("--backbone", help="An architecture of open_clip, e.g. ViT-B-16-quickgelu."),
    click.option("--weights", help="A pretrained tag of open_clip, or the path of a checkpoint."),
    click.option("--datasets", callback=names, help="Only these data sets, comma-separated."),
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
    click.option("--gin", multiple=True, help="A gin file read after all others; may repeat."),
    click.option(
        "--set", "bindings", multiple=True, help='A binding "Name.parameter=value"; may repeat.'
    ),
    click.option("--plugin", multiple=True, help="The .py file of a plugin; may repeat."),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
    click.option(
        "--precision", default="auto", show_default=True, help="auto, fp32, bf16 or fp16."
    ),
    click.option("--compile", is_flag=True, help="torch.compile, with CUDA graphs on a GPU."),
    click.option(
        "--class-chunk", type=int, help="Class prompts kept at a time.  [default: automatic]"
    ),
    click.option(
        "--workers", default=2, show_default=True, help="Threads that decode images ahead."
    ),
    click.option(
        "--augment",
        default="auto",
        show_default=True,
        help="Where training images are cropped: auto, host or device.",
    ),
    click.option("--limit", type=int, help="Score only the first N images of each target."),
    click.option("--out", default="runs", show_default=True, help="Where records are written."),
)


def asking_for_cells(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options with which `run` and `plan` say what is to be computed."""
    for option in reversed(_WHAT):
        command = option(command)
    return command


def requests_of(
    methods: list[str] | None,
    protocols: list[str] | None,
    grid: str | None,
    bindings: tuple[str, ...],
    **options: Any,
) -> list[Any]:
    """The requests of these options; --method and --protocol win over the grid's."""
    import dataclasses

    from promptbench import grids

    _refuse_grids(options["gin"])
    asked = grids.load(grid) if grid else grids.Grid()
    if methods:
        asked = dataclasses.replace(asked, methods=tuple(methods))
    if protocols:
        asked = dataclasses.replace(asked, protocols=tuple(protocols))
    return asked.requests({**options, "set": bindings})


def _refuse_grids(files: Sequence[str]) -> None:
    """Files of settings that bind a grid are meant for another option."""
    for path in map(Path, files):
        if path.is_file() and re.search(rb"^\s*Grid\.", path.read_bytes(), re.MULTILINE):
            raise UserError(f"--gin {path}: this is a grid file; use --grid {path}")
