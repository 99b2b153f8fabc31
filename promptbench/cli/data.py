"""`promptbench data`: fetching, preparing, checking, listing and describing datasets."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli.options import data_root
from promptbench.cli.usage import examples

if TYPE_CHECKING:
    from rich.console import Console

_EXAMPLES = examples(
    "data fetch caltech101 eurosat --to ~/coop_data",
    "data prepare caltech101 eurosat --source ~/coop_data --out ~/shards",
    'data new birds --source folder:~/birds --template "a photo of a {}, a bird."',
    "data prepare birds",
    "data verify birds",
    "data info birds --contact-sheet birds.png",
    "run --method coop --protocol base_to_new --datasets birds --suite clip",
)

_root = click.option(
    "--data",
    "root",
    callback=data_root,
    type=click.Path(path_type=Path),
    help="Data root with prepared shards; also PROMPTBENCH_DATA.",
)


@click.group(epilog=_EXAMPLES)
def data() -> None:
    """Fetch, prepare, check, list and describe datasets."""


@data.command(
    epilog=examples(
        "data fetch dtd --dry-run",
        "data fetch caltech101 eurosat --to ~/coop_data",
        "data fetch food101 --to ~/coop_data --accept-licence",
    )
)
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of all datasets, which `data prepare --source` reads.  "
    "[default: `sources` in your own data folder]",
)
@click.option(
    "--accept-licence", is_flag=True, help="Consent to licences that ask for it, for scripts."
)
@click.option(
    "--keep-archives", is_flag=True, help="Keep downloaded archives after they were unpacked."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be fetched, and from where.")
def fetch(names: tuple[str, ...], to: Path | None, **given: bool) -> None:
    """Download datasets of the field.

    Goes through the addresses on a dataset's card, checks, and unpacks to what `data prepare`
    reads. What was interrupted goes on when the same command is given again.
    """
    from promptbench.cli.fetching import fetch_all

    fetch_all(names, _expanded(to), **given)


@data.command(
    epilog=examples(
        "data prepare caltech101 eurosat --source ~/coop_data --out ~/shards",
        "data prepare imagenet --source ~/imagenet --resize-short 256 --workers 8",
        "data prepare birds",
    )
)
@click.argument("names", nargs=-1, required=True)
@click.option("--source", help="The dataset's folder, or the one that holds it.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Data root for the shards.  [default: PROMPTBENCH_DATA, else your own data folder]",
)
@click.option(
    "--resize-short",
    type=click.IntRange(min=224),
    help="Store images with their shorter side at most this (marked in records).",
)
@click.option("--workers", type=click.IntRange(min=1), help="Threads.  [default: one per core]")
@click.option(
    "--check/--no-check", default=True, show_default=True, help="Decode every image to its end."
)
@click.option(
    "--allow-duplicates",
    is_flag=True,
    help="Keep images that lie in several splits or classes (the index counts them).",
)
def prepare(names: tuple[str, ...], source: str | None, out: Path | None, **given: Any) -> None:
    """Turn images into shards.

    What was interrupted goes on when the same command is given again.
    """
    from promptbench.data.shards import store
    from promptbench.data.shards.shard_writing import WritingOptions
    from promptbench.tracking.terminal import Terminal

    options = WritingOptions(
        resize_short=given["resize_short"],
        check=given["check"],
        workers=given["workers"] or store.default_workers(),
        allow_duplicates=given["allow_duplicates"],
    )
    for name in names:
        done = store.prepare(name, source, _expanded(out), options, Terminal())
        sizes = ", ".join(f"{split} {index.count}" for split, index in done.index.splits.items())
        click.echo(f"{name}: {sizes} -> {done.folder}")


@data.command(epilog=examples("data verify birds", "data verify dtd eurosat --data ~/shards"))
@click.argument("names", nargs=-1, required=True)
@_root
@click.option("--workers", type=click.IntRange(min=1), help="Threads.  [default: one per core]")
@click.option(
    "--check/--no-check", default=True, show_default=True, help="Decode every image to its end."
)
def verify(names: tuple[str, ...], root: Path | None, workers: int | None, check: bool) -> None:
    """Check every hash, count and image of prepared datasets.

    Names what differs; exits with 1 if anything does.
    """
    from promptbench.data.cards import cards, checking
    from promptbench.data.shards import store
    from promptbench.tracking.terminal import Terminal

    worst = 0
    for name in names:
        found = store.open_or_fetch(cards.load(name), root, Terminal())
        threads = workers or store.default_workers()
        problems = list(checking.differences(found, Terminal(), threads, decode=check))
        for problem in problems:
            click.echo(f"{name}: {problem}")
        if problems:
            click.echo(f"{name}: {len(problems)} differences; delete {found.folder} and prepare")
            worst = 1
        else:
            click.echo(f"{name}: all hashes and counts are right ({found.index.digest[:16]})")
    sys.exit(worst)


@data.command("ls", epilog=examples("data ls", "data ls --data ~/shards"))
@_root
def list_(root: Path | None) -> None:
    """List all datasets and which of them are prepared."""
    from promptbench import catalogue

    _console().print(catalogue.datasets(root))


@data.command(
    epilog=examples(
        "data info birds",
        "data info shapes --contact-sheet shapes.png --split train",
        "data info birds --croissant > birds.json",
    )
)
@click.argument("name")
@_root
@click.option(
    "--contact-sheet",
    "sheet",
    type=click.Path(path_type=Path),
    help="Write a PNG with samples of the classes.",
)
@click.option("--split", default="test", show_default=True, help="The split on the contact sheet.")
@click.option(
    "--croissant", is_flag=True, help="Print the card as Croissant JSON-LD, and nothing else."
)
def info(name: str, root: Path | None, sheet: Path | None, split: str, croissant: bool) -> None:
    """Show everything a card says."""
    from promptbench import catalogue
    from promptbench.data.cards import cards, contact_sheet
    from promptbench.data.shards import store
    from promptbench.tracking.terminal import Terminal

    card = cards.load(name)
    if croissant:
        from promptbench.catalogue.croissant import croissant as as_croissant

        click.echo(json.dumps(as_croissant(card), indent=2, ensure_ascii=True))
    else:
        catalogue.describe_card(card, root, _console())
    if sheet is not None:
        found = store.provide(name, root, Terminal())
        contact_sheet.write(found, split, sheet)
        click.echo(f"contact sheet of {name}/{split} -> {sheet}", err=croissant)


@data.command(
    epilog=examples(
        'data new birds --source folder:~/birds --template "a photo of a {}, a bird."',
        "data new birds --source csv:birds.csv --classes names.txt --holdout 0.2",
    )
)
@click.argument("name")
@click.option(
    "--source",
    required=True,
    help="folder:DIR, csv:FILE, hf:DIR, wds:DIR_OR_URL, or coop:DIR with a split_*.json.",
)
@click.option(
    "--template", help="The prompt, with {} for the class name.  [default: a photo of a {}.]"
)
@click.option(
    "--title",
    help="Its full name, for `data info` and the site; tables and options use NAME.  "
    "[default: NAME]",
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Draw this share of each class as test split, for sources without one.",
)
@click.option(
    "--classes",
    type=click.Path(path_type=Path),
    help="A file with the class names in label order, one a line, or FOLDER<tab>NAME lines.",
)
@click.option("--licence", default="unknown", show_default=True, help="Of the images.")
@click.option("--citation", default="unknown", show_default=True, help="What to cite for it.")
@click.option(
    "--replace",
    is_flag=True,
    help="Write your own card of this name again; its shards may then have to be prepared again.",
)
def new(name: str, source: str, replace: bool, **facts: Any) -> None:
    """Write the card of a dataset of your own."""
    from promptbench.data.cards import new_card
    from promptbench.data.layouts import fence
    from promptbench.tracking.terminal import Terminal

    card, path = new_card.write(name, source, new_card.Facts(**facts), Terminal(), replace)
    sizes = ", ".join(f"{split} {count}" for split, count in card.splits.items())
    click.echo(f"{name}: {len(card.classes)} classes, {sizes} -> {path}")
    if "shards" not in card.source.options:
        allowed = os.environ.get(fence.ALLOW)  # of this shell, perhaps not of the next
        setting = f"{fence.ALLOW}={shlex.quote(allowed)} " if allowed else ""
        click.echo(f"next: {setting}promptbench data prepare {name}")


def _expanded(root: Path | None) -> Path | None:
    return root.expanduser() if root is not None else None


def _console() -> Console:
    from rich.console import Console

    return Console()


COMMANDS = (data,)
