"""`promptbench analyze`: what the prompts of finished runs do inside the towers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_KINDS = {
    "norms": "norms of prompt tokens against CLS, per block",
    "attention": "who attends to whom, entropy, saturation",
    "geometry": "uniformity and tolerance of image features",
    "field": "the coupled prompt field, base against new, beside nulls",
}

EXAMPLES = """\b
Examples:
  promptbench run --method zeroshot,mmrlpp,alignednorm --protocol base_to_new --seeds 1,2,3
  promptbench analyze all --compare
  promptbench analyze norms runs/demo/base_to_new/mmrlpp runs/demo/base_to_new/alignednorm --compare
  promptbench analyze field --over-training --images 200
"""

_HELP = "\n".join(["\b", *(f"  {name:<10} {text}" for name, text in _KINDS.items())])


@click.command(
    epilog=EXAMPLES,
    help=f"""Measure what prompts do on the test images of finished runs.

{_HELP}
  all        these four

RUNS are folders with records, or records (default: runs). Numbers go to CSV and JSON, figures to
PNG and SVG (extra: plot), one folder per method; docs/analysis.md defines every quantity.""",
)
@click.argument("what", type=click.Choice([*_KINDS, "all"]))
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
    help="Norms and field after every epoch, too; each run is trained again once.",
)
@click.option("--data", help="Data root with prepared shards; also PROMPTBENCH_DATA.")
@click.option("--weights", help="Where the weights lie here, if not where the records say.")
@click.option("--plugin", multiple=True, help="The .py file of a method or a protocol; may repeat.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--workers", default=2, show_default=True, help="Threads that decode images ahead.")
@click.option(
    "--wandb",
    type=click.Choice(["off", "offline", "online"]),
    default="off",
    show_default=True,
    help="Log numbers and figures to Weights & Biases.",
)
def analyze(
    what: str,
    runs: tuple[Path, ...],
    compared: bool,
    out: Path,
    images: int,
    over_training: bool,
    plugin: tuple[str, ...],
    wandb: str,
    **machine: Any,
) -> None:
    from rich.console import Console

    from promptbench import registry
    from promptbench.analysis.measure import ANALYSES, Extent
    from promptbench.analysis.runs import Machine
    from promptbench.analysis.study import Study, carry_out
    from promptbench.report.plot import matplotlib_pyplot
    from promptbench.storage.files import ensure_writable
    from promptbench.tracking.terminal import Terminal

    matplotlib_pyplot()
    ensure_writable(out)
    for path in plugin:
        registry.add_file(Path(path))
    publish = None
    if wandb != "off":
        from promptbench.analysis.publishing import WandbAnalyses

        publish = WandbAnalyses("online" if wandb == "online" else "offline", out)
    study = Study(
        analyses=ANALYSES if what == "all" else (what,),
        places=runs or (Path("runs"),),
        out=out,
        compared=compared,
        extent=Extent(images, over_training),
        machine=Machine(**machine),
    )
    carry_out(study, Terminal(), Console(), publish)


COMMANDS = (analyze,)
