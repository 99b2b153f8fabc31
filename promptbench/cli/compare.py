"""`promptbench compare`: two methods beside each other, dataset by dataset."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from promptbench.cli import streams, verified
from promptbench.cli import tables as tables_of
from promptbench.cli.options import existing, metrics_option, numbers, plugins_option
from promptbench.cli.results import refuse_unknown
from promptbench.cli.usage import examples
from promptbench.errors import unknown

if TYPE_CHECKING:
    from promptbench.mixing.outlines import Outline


@click.command(
    epilog=examples(
        "compare coop alignednorm",
        "compare mmrlpp mmrlpp:decoupled --protocol cross_dataset",
        "compare coop coop:validation",
        "compare coop:validation alignednorm:validation --preset tuned-20",
        "compare coop maple --protocol few_shot --shots 16",
        "compare coop alignednorm --runs runs --runs other_runs",
        "compare runs_before runs_after",
    )
)
@click.argument("a")
@click.argument("b")
@click.option(
    "--runs",
    "folders",
    multiple=True,
    callback=existing,
    type=click.Path(path_type=Path),
    help="Where records are looked for; may repeat.  [default: runs]",
)
@click.option("--protocol", help="Only this protocol.")
@click.option("--suite", help="Only this suite.")
@click.option(
    "--preset", default="paper", show_default=True, help="paper or unified settings, or tuned-N."
)
@click.option(
    "--shots",
    callback=numbers,
    help="Only these numbers of shots, comma-separated: p-values are adjusted for what is shown.",
)
@metrics_option
@plugins_option
def compare(
    a: str,
    b: str,
    folders: tuple[Path, ...],
    protocol: str | None,
    suite: str | None,
    preset: str,
    shots: list[int] | None,
    metrics: list[str] | None,
) -> None:
    """Compare two methods dataset by dataset, with paired tests.

    Shows differences A minus B with their intervals over seeds, and over test images too; a t-test
    over seeds, a signed-rank test over datasets, and p-values adjusted for their number.
    A and B are methods (`mmrlpp`; `mmrlpp:decoupled` for decoupled inference, `mmrlpp:validation`
    for the epoch that validation selects), or folders with the records of one method each.
    """
    from rich.console import Console

    from promptbench import records
    from promptbench.planning.request import Preset
    from promptbench.records import scores
    from promptbench.records.tuning import is_tuned
    from promptbench.report import gather
    from promptbench.report.comparing import comparison, comparison_terminal
    from promptbench.report.comparing.sides import select

    refuse_unknown(protocol, suite)
    if preset not in get_args(Preset) and not is_tuned(preset):
        raise unknown("preset", preset, get_args(Preset), "or tuned-N of a search of N trials")
    asked = scores.load_all(metrics)
    places = folders or (Path("runs"),)
    keep = click.get_current_context().with_resource
    memory, index = keep(verified.opened()), keep(verified.indexed())

    @cache  # both sides are usually looked for in the same places
    def read(places: tuple[Path, ...]) -> dict[Path, Outline]:
        reporter = streams.progress()
        return gather.outlines(places, memory, index, reporter, refuse=gather.anything).all()

    sides = [select(side, places, protocol, suite, preset, shots, read) for side in (a, b)]
    # Few-shot keys are compared, too, which outlines do not hold.
    own, other = ([records.read(path) for path in side] for side in sides)
    predictions = scores.folders_of((r, p.parent) for side in sides for p, r in side.items())
    if scores.EVERY in (metrics or ()):
        scorers = scores.together(asked, predictions, memory)
        asked = [scorer.metric for scorer in tables_of.allowed(scorers, [*own, *other])]
    for metric in asked:
        for found in comparison.compare(own, other, predictions, metric):
            comparison_terminal.show(found, Console())


COMMANDS = (compare,)
