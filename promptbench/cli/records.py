"""`promptbench reproduce` and `validate`: a record held against what it stands for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from promptbench.cli import streams, verified
from promptbench.cli.options import (
    again_option,
    class_texts_option,
    existing,
    plugins_option,
)
from promptbench.cli.usage import examples
from promptbench.errors import UserError, with_path

if TYPE_CHECKING:
    from promptbench.storage.remembered import Remembered


@click.command(
    epilog=examples(
        "reproduce runs/demo/base_to_new/coop/shapes-16shot-seed1-0123456789/record.json",
        "reproduce record.json --weights ~/ViT-B-16.pt --data ~/shards --tolerance 1",
        "reproduce record.json --plugin my_method.py --out again",
    )
)
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--data", help="Data root with prepared shards; also PROMPTBENCH_DATA.")
@click.option("--weights", help="Where the weights lie here, if not where the record says.")
@class_texts_option
@plugins_option
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--workers", type=int, help="Threads that decode images ahead.  [default: one per core]"
)
@click.option(
    "--tolerance",
    default=0.5,
    show_default=True,
    help="Points of accuracy by which a target may differ on other hardware or versions.",
)
@click.option("--out", help="Keep the new record here.  [default: thrown away]")
def reproduce(
    record: Path,
    tolerance: float,
    out: str | None,
    data: str | None,
    weights: str | None,
    class_texts: tuple[str, ...],
    **machine: Any,
) -> None:
    """Compute the cell of a record again and compare.

    RECORD, a file or its folder, is all that it takes. Says identical, within tolerance, or
    different and in what; exits with 1 if different.
    """
    from rich.console import Console

    from promptbench import reproduction
    from promptbench.planning.machine import Machine

    here = reproduction.Whereabouts(data, weights, class_texts)
    verdict = reproduction.reproduce(record, Machine(**machine), here, tolerance=tolerance, out=out)
    reproduction.show(verdict, Console())
    sys.exit(int(verdict.outcome == "different"))


@click.command(epilog=examples("validate runs", "validate runs/*/*/coop"))
@click.argument(
    "records", nargs=-1, required=True, callback=existing, type=click.Path(path_type=Path)
)
@again_option
@plugins_option
def validate(records: tuple[Path, ...], again: bool) -> None:
    """Check records: schema, hashes, settings, ids and counts.

    Counts and confusions are those of their predictions, from which every metric is computed; what
    these hold of probabilities must be possible. Records of schema 1 hold labels: they are
    "accuracy only". RECORDS are files, or folders that hold some. What was found valid before is
    known by its hash, and its counts are not computed again (--all: they are).

    Of several records each has a line, also those that are invalid, with the first thing that is
    wrong; the exit code is then 1. It is 2 where there is only one record, and it is invalid.
    """
    from rich.console import Console

    from promptbench import records as store
    from promptbench.support.prose import folded, say

    paths = store.find_some(records)
    with verified.opened(again) as memory:
        checked = _checked(paths, memory)
    for each in checked:
        click.echo(each.line)
    unknown = "settings and ids not checked: "
    notes = [(each.path, unknown + each.unknown) for each in checked if each.unknown]
    several = len(paths) > 1
    for note in folded(notes) if several else [note for _, note in notes]:
        say(Console(stderr=True), f"note: {note}")
    invalid = sum(not each.valid for each in checked)
    if several:
        some = f", {invalid} invalid" if invalid else ""
        click.echo(f"{len(paths)} records: {len(paths) - invalid} valid{some}", err=True)
    sys.exit(int(invalid > 0))


class _Checked(NamedTuple):
    """What was found of a record: its line, and why some was not checked; "" if all was."""

    path: Path
    valid: bool
    line: str
    unknown: str = ""


def _checked(paths: Sequence[Path], memory: Remembered) -> list[_Checked]:
    """What is found of each record.

    Raises:
        UserError: what is wrong with the only one.
    """
    from promptbench import records as store
    from promptbench.leaderboard.checking.remembering import validate_ahead, validated
    from promptbench.storage import ahead
    from promptbench.support.safe_text import printable, shown_path

    found, reporter = [], streams.progress()
    known = partial(store.is_known, memory=memory)
    with reporter.task("validating", len(paths), "records") as task:
        for path in ahead.over(paths, validate_ahead, memory, reporter, known):
            try:
                record, unknown = validated(path, memory)
            except UserError as error:
                if len(paths) == 1:
                    raise
                wrong = " ".join(with_path(error, path).splitlines())
                found.append(_Checked(path, False, f"invalid  {shown_path(wrong)}"))
            else:
                mark = " (schema 1: accuracy only)" if record.labels_only else ""
                line = f"valid  {shown_path(path)}{mark}"
                found.append(_Checked(path, True, line, printable(unknown)))
            task.advance()
    return found


COMMANDS = (reproduce, validate)
