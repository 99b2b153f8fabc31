"""`promptbench compare`: two methods beside each other, dataset by dataset."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from promptbench.cli import tables as tables_of
from promptbench.cli.options import existing, metrics_option, numbers, plugins_option
from promptbench.cli.results import refuse_unknown
from promptbench.cli.usage import examples
from promptbench.errors import unknown


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

    from promptbench.planning.request import Preset
    from promptbench.records import scores
    from promptbench.records.tuning import is_tuned
    from promptbench.report.comparing import comparison, comparison_terminal
    from promptbench.report.comparing.sides import select

    refuse_unknown(protocol, suite)
    if preset not in get_args(Preset) and not is_tuned(preset):
        raise unknown("preset", preset, get_args(Preset), "or tuned-N of a search of N trials")
    asked = scores.load_all(metrics)
    places = folders or (Path("runs"),)
    sides = [select(side, places, protocol, suite, preset, shots) for side in (a, b)]
    named = [Path(side) for side in (a, b) if Path(side).exists()]
    predictions = scores.folders([*places, *named] if len(named) < 2 else named)
    if scores.EVERY in (metrics or ()):
        scorers = scores.together(asked, predictions)
        asked = [scorer.metric for scorer in tables_of.allowed(scorers, [*sides[0], *sides[1]])]
    for metric in asked:
        for found in comparison.compare(sides[0], sides[1], predictions, metric):
            comparison_terminal.show(found, Console())


COMMANDS = (compare,)
