"""The options with which `run`, `plan` and `tune` ask for cells, and what they ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli.options import PLUGIN, class_texts_option, names, numbers
from promptbench.errors import UserError

if TYPE_CHECKING:
    from promptbench.planning.grids import Grid
    from promptbench.planning.machine import Machine
    from promptbench.planning.request import Request

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

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
    click.option("--plugin", multiple=True, help=PLUGIN),
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
    click.option(
        "--per-gpu",
        type=int,
        help="Processes for each GPU, here or of each worker; on a CPU, the number of processes.",
    ),
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


def asking_for_cells(without: Sequence[str] = ()) -> Decorator:
    """The options with which `run`, `plan` and `tune` say what is to be computed, but those whose
    parameters are named."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(_WHAT):
            command = option(command)
        # where click keeps the options of a function until it becomes a command
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
