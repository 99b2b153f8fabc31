"""`promptbench reproduce` and `validate`: a record held against what it stands for."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from promptbench.cli import streams, verified
from promptbench.cli.options import (
    again_option,
    class_texts_option,
    existing,
    plugins_option,
)
from promptbench.cli.usage import examples


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
    """
    from promptbench import records as store
    from promptbench.leaderboard.checking.remembering import validate_ahead, validated
    from promptbench.storage import ahead
    from promptbench.support.safe_text import printable, shown_path

    paths = store.find_some(records)
    with verified.opened(again) as memory:
        known = partial(store.is_known, memory=memory)
        for path in ahead.over(paths, validate_ahead, memory, streams.progress(), known):
            record, unknown = validated(path, memory)
            mark = " (schema 1: accuracy only)" if record.labels_only else ""
            click.echo(f"valid  {shown_path(path)}{mark}")
            if unknown:
                click.echo(f"note: settings and ids not checked: {printable(unknown)}", err=True)


COMMANDS = (reproduce, validate)
