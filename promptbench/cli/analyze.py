"""`promptbench analyze`: what the prompts of finished runs do inside the towers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptbench.cli.options import Listing, class_texts_option, figures_options, plugins_option
from promptbench.cli.usage import examples
from promptbench.errors import unknown

if TYPE_CHECKING:
    from promptbench.figures.style import Page

_ALL = "all"


@click.command(
    cls=Listing,
    lists="ANALYSES",
    further=[(_ALL, "All of these.")],
    epilog=examples(
        "analyze all --compare",
        "analyze norms runs/demo/base_to_new/mmrlpp runs/demo/base_to_new/alignednorm --compare",
        "analyze field --over-training --images 200",
    ),
)
@click.argument("what", metavar="ANALYSIS")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--compare", "compared", is_flag=True, help="Several methods in one figure.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("analysis"),
    show_default=True,
    help="Where numbers and figures go.",
)
@click.option(
    "--images",
    type=click.IntRange(min=0),
    default=2000,
    show_default=True,
    help="At most that many of each target's images, drawn at random, the same for all runs; "
    "0: all.",
)
@click.option(
    "--over-training",
    is_flag=True,
    help="Also after every epoch, if an analysis has such a figure; trains each run again once.",
)
@click.option("--data", help="Data root with prepared shards; also PROMPTBENCH_DATA.")
@click.option("--weights", help="Where the weights lie here, if not where the records say.")
@class_texts_option
@plugins_option
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--workers", type=int, help="Threads that decode images ahead.  [default: one per core]"
)
@click.option(
    "--wandb",
    type=click.Choice(["off", "offline", "online"]),
    default="off",
    show_default=True,
    help="Log numbers and figures to Weights & Biases.",
)
@figures_options
def analyze(
    what: str,
    runs: tuple[Path, ...],
    compared: bool,
    out: Path,
    images: int,
    over_training: bool,
    wandb: str,
    data: str | None,
    weights: str | None,
    class_texts: tuple[str, ...],
    page: Page,
    **machine: Any,
) -> None:
    """Measure what prompts do on the test images of finished runs.

    ANALYSIS is one of those below, or the .py file of one that is not installed. RUNS are folders
    with records, or records (default: runs). Numbers go to CSV and JSON, figures to PNG and SVG
    (extra: plot), one folder per method; docs/analysis.md defines every quantity.
    """
    from rich.console import Console

    from promptbench.analysis.measure import Extent
    from promptbench.analysis.study import Study, carry_out
    from promptbench.core.registry import ANALYSES
    from promptbench.figures.style import matplotlib_pyplot
    from promptbench.planning.machine import Machine
    from promptbench.reproduction import Whereabouts
    from promptbench.storage.files import ensure_writable
    from promptbench.tracking.terminal import Terminal

    name = ANALYSES.add_path(what)
    if name not in (known := [*ANALYSES.names(), _ALL]):
        raise unknown("analysis", name, known)
    matplotlib_pyplot()
    ensure_writable(out)
    publish = None
    if wandb != "off":
        from promptbench.analysis.publishing import WandbAnalyses

        publish = WandbAnalyses("online" if wandb == "online" else "offline", out)
    study = Study(
        analyses=() if what == _ALL else (name,),
        places=runs or (Path("runs"),),
        out=out,
        compared=compared,
        extent=Extent(images, over_training),
        machine=Machine(**machine),
        here=Whereabouts(data, weights, class_texts),
        figures=page,
    )
    carry_out(study, Terminal(), Console(), publish)


COMMANDS = (analyze,)
