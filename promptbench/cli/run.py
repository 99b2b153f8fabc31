"""`promptbench run`."""

from __future__ import annotations

from typing import Any

import click

from promptbench.cli.options import EXAMPLES, names, numbers
from promptbench.cli.results import print_tables


@click.command(epilog=EXAMPLES)
@click.option(
    "--method", "methods", required=True, callback=names, help="Methods, comma-separated."
)
@click.option("--protocol", required=True, help="The protocol (promptbench ls protocols).")
@click.option("--suite", help="demo or clip; demo while no data root is given.")
@click.option("--data", help="Data root with prepared shards; also PROMPTBENCH_DATA.")
@click.option("--backbone", help="An architecture of open_clip, e.g. ViT-B-16-quickgelu.")
@click.option("--weights", help="A pretrained tag of open_clip, or the path of a checkpoint.")
@click.option("--datasets", callback=names, help="Only these data sets, comma-separated.")
@click.option("--shots", type=int, help="Training images per class.  [default: the suite's]")
@click.option("--seeds", callback=numbers, help="Seeds, comma-separated.  [default: the suite's]")
@click.option("--preset", default="paper", show_default=True, help="paper or unified settings.")
@click.option("--inference", default="unified", show_default=True, help="unified or decoupled.")
@click.option("--gin", multiple=True, help="A gin file read after all others; may repeat.")
@click.option(
    "--set", "bindings", multiple=True, help='A binding "Name.parameter=value"; may repeat.'
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--precision", default="auto", show_default=True, help="auto, fp32, bf16 or fp16.")
@click.option("--compile", is_flag=True, help="torch.compile, with CUDA graphs on a GPU.")
@click.option("--class-chunk", type=int, help="Class prompts kept at a time.  [default: automatic]")
@click.option("--workers", default=2, show_default=True, help="Threads that decode images ahead.")
@click.option("--limit", type=int, help="Score only the first N images of each target.")
@click.option("--out", default="runs", show_default=True, help="Where records are written.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--wandb", default="off", show_default=True, help="off, offline or online.")
def run(methods: list[str], bindings: tuple[str, ...], dry_run: bool, **options: Any) -> None:
    """Run methods under a protocol and print the table.

    Finished cells are skipped, so the same command continues an interrupted run.
    """
    from promptbench.request import Request

    request = Request(methods=methods, set=bindings, **options)
    if dry_run:
        _print_plan(request)
        return
    from promptbench.runner import execute

    records = execute(request)
    print_tables(records, "rich")


def _print_plan(request: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from promptbench import compute, plan

    made = plan.build(request, compute.resolve(request.device, request.precision).precision)
    done = {cell.id for cell in made.done()}
    table = Table("cell", "preset", "source", "targets", "epochs", "state")
    for cell in made.cells:
        source = cell.leg.source
        table.add_row(
            cell.label,
            cell.preset,
            f"{source.dataset}/{source.classes}, {source.shots} shots",
            ", ".join(target.key for target in cell.leg.targets),
            str(cell.recipe.get("epochs", "–")),
            "done" if cell.id in done else "to compute",
        )
    console = Console()
    console.print(table)
    console.print(
        f"{len(made.cells)} cells, {len(done)} done, {len(made.cells) - len(done)} to compute"
    )


COMMANDS = (run,)
