"""`promptbench predict`, `export` and `push`: what finished runs have learned, put to use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli.options import class_texts_option, plugins_option
from promptbench.cli.usage import examples
from promptbench.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from promptbench.using.answers import Answers

_FORMATS = ("table", "csv", "json")
_ANY_WIDTH = 10_000  # characters: no table is wider
_LIBRARIES = ("open_clip", "transformers", "onnx")
_weights = click.option("--weights", help="Where the weights lie here, if not where RUN says.")
_classes = click.option(
    "--classes",
    help="Class names a,b,c, or a file with one a line.  [default: those that were learned]",
)


@click.command(
    epilog=examples(
        "predict runs/demo/base_to_new/coop/shapes-16shot-seed1-0123456789 photo.jpg",
        'predict record.json photos "more/*.png" --classes "red cat,blue dog" --top 2',
        "predict record.json photos --classes names.txt --format csv > answers.csv",
    )
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True)
@_classes
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Per image.")
@click.option("--format", "form", type=click.Choice(_FORMATS), default="table", show_default=True)
@_weights
@class_texts_option
@plugins_option
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--workers", type=int, help="Threads that decode images ahead.  [default: one per core]"
)
def predict(
    run: Path, images: tuple[str, ...], classes: str | None, top: int, form: str, **options: Any
) -> None:
    """Classify own images with what a finished run has learned.

    RUN is a record, the folder of a cell, a folder with one cell below it, or hf:user/name, where
    `push` has put one. IMAGES are files, folders (with all below them) or patterns. Images that
    cannot be read are named one by one; the others are answered, and the exit code is 2.
    """
    from promptbench.using import answers, names
    from promptbench.using.images import find
    from promptbench.using.predictor import load

    wanted = None if classes is None else names.given(classes)
    found = find(images)
    for remark in found.remarks:
        click.echo(f"note: {remark}", err=True)
    model = load(run, **options)
    if model.record.inference == "decoupled":
        click.echo(
            "note: the decoupled rule of this cell needs to know how images differ from the "
            "source's; yours are classified by the unified rule of the same training",
            err=True,
        )
    unreadable: dict[str, str] = {}
    answered = model.predict(found.images, wanted, top, unreadable)
    if form == "csv":
        click.echo(answers.as_csv(answered, unreadable), nl=False)
    elif form == "json":
        facts = {"format": "promptbench-answers/1", "method": model.record.method.name}
        facts |= {"cell_id": model.record.cell_id}
        click.echo(answers.as_json(answered, unreadable, facts), nl=False)
    elif answered:
        _show(answered)
    _complain(unreadable)


def _complain(unreadable: dict[str, str]) -> None:
    from promptbench.support.safe_text import visible

    for image, reason in unreadable.items():
        click.echo(f"error: {visible(image)} cannot be read: {visible(reason)}", err=True)
    if unreadable:
        sys.exit(UserError.exit_code)


def _show(answered: Answers) -> None:
    """Print a table: an image a row, its class names from the most probable on; where that is too
    wide, a class name a row."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    table = _by_image(answered)
    unbounded = console.options.update(max_width=_ANY_WIDTH)
    if Measurement.get(console, unbounded, table).maximum > console.width:
        table = _by_class(answered)
    console.print(table)


def _by_image(answered: Answers) -> Table:
    ranks = range(1, max(len(answer.top) for answer in answered) + 1)
    table = _table("image", *map(str, ranks))
    for answer in answered:
        cells = [f"{name} {confidence:.1%}" for name, confidence in answer.top]
        table.add_row(*map(_text, (answer.image, *cells)))
    return table


def _by_class(answered: Answers) -> Table:
    table = _table("image", "", "class")
    for answer in answered:
        for number, (name, confidence) in enumerate(answer.top):
            image = "" if number else answer.image
            table.add_row(*map(_text, (image, f"{confidence:6.1%}", name)))
    return table


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    for title in others:
        table.add_column(title, overflow="fold")
    return table


def _text(said: str) -> Text:
    from rich.text import Text

    from promptbench.support.safe_text import visible

    return Text(visible(said))


@click.command(
    epilog=examples(
        "export runs/demo/base_to_new/coop/shapes-16shot-seed1-0123456789 --to open_clip",
        "export record.json --to onnx --classes names.txt --out classifier",
    )
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", required=True, type=click.Choice(_LIBRARIES), help="The library.")
@_classes
@click.option(
    "--out", type=click.Path(path_type=Path), help="A new folder.  [default: METHOD-LIBRARY]"
)
@_weights
@class_texts_option
@plugins_option
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def export(run: Path, to: str, classes: str | None, out: Path | None, **options: Any) -> None:
    """Write a finished run with fixed classes for another library.

    For methods whose inference is plain: a row per class over the frozen image encoder. The folder
    holds encoder, rows and a README; its logits are compared with promptbench's own before it is
    left.
    """
    from promptbench.using.exporting.export import export as write
    from promptbench.using.predictor import load

    model = load(run, precision="fp32", **options)
    folder = out or Path(f"{model.record.method.name}-{to}")
    apart = write(model, to, folder, classes)
    click.echo(f"wrote {folder}: its logits are promptbench's own (within {apart:.1e})")


@click.command(
    epilog=examples(
        "push runs/demo/base_to_new/coop/shapes-16shot-seed1-0123456789 folder:coop-shapes",
        "push record.json hf:user/coop-shapes --licence apache-2.0",
        "predict hf:user/coop-shapes photos",
    )
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("place")
@click.option(
    "--licence",
    "--license",
    help="Of what was learned, e.g. apache-2.0.  [default: none is stated]",
)
@click.option("--private", is_flag=True, help="A repository that is made for it is private.")
@click.option("--replace", is_flag=True, help="Write over another cell that is there.")
@plugins_option
def push(run: Path, place: str, **options: Any) -> None:
    """Hand on a finished run, with a model card made of its record.

    RUN is a record, the folder of a cell, or a folder with one cell below it. PLACE is
    hf:user/name, a model repository of the Hugging Face hub (HF_TOKEN, or `hf auth login`), or
    folder:DIR. What goes there: record, learned parameters, predictions, hashes, the data card, and
    the model card README.md. Neither images, weights nor code do.
    """
    from promptbench import sharing
    from promptbench.using.finding import record_at

    to = sharing.place_of(place)
    pushed = sharing.push(record_at(run.expanduser()), to, **options)
    for note in pushed.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"pushed {len(pushed.files)} files to {pushed.address}")


COMMANDS = (predict, export, push)
