"""`promptbench leaderboard`: verify, submit, build, show, audit, init."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from promptbench.cli import auditing, streams, verdicts_said, verified
from promptbench.cli.options import (
    again_option,
    class_texts_option,
    data_root,
    existing,
    metrics_option,
    plugins_option,
)
from promptbench.cli.usage import examples

_places = click.argument("places", nargs=-1, callback=existing, type=click.Path(path_type=Path))
_data = click.option(
    "--data",
    envvar="PROMPTBENCH_DATA",
    callback=data_root,
    type=click.Path(path_type=Path),
    help="Data root: records are checked against the shards there, too; also PROMPTBENCH_DATA.",
)


def _kept_in(context: click.Context, _: click.Parameter, folder: Path | None) -> None:
    """Accepted records lie there for as long as the command runs."""
    from promptbench.leaderboard.checking import places

    if folder is not None:
        context.with_resource(places.kept_in(folder))


_results = click.option(
    "--results",
    envvar="PROMPTBENCH_RESULTS",
    callback=_kept_in,
    expose_value=False,
    is_eager=True,
    type=click.Path(path_type=Path),
    help="The repository, or folder, of accepted records; also PROMPTBENCH_RESULTS.  [default: "
    "those beside the code, in a checkout]",
)
_verbose = click.option(
    "--verbose", is_flag=True, help="Print the notes on each record below it, not once for all."
)
_EXAMPLES = examples(
    "leaderboard verify runs",
    "leaderboard submit runs",
    "leaderboard build runs --out site",
    "leaderboard show --protocol base_to_new",
    "leaderboard audit",
    "leaderboard init my-results",
)


@click.group(epilog=_EXAMPLES)
def leaderboard() -> None:
    """The results repository and its site."""


@leaderboard.command(
    epilog=examples(
        "leaderboard verify runs",
        "leaderboard verify runs --data ~/shards",
        "leaderboard verify runs --recompute",
        "leaderboard verify --results ~/results",
    )
)
@_places
@_results
@_data
@again_option
@_verbose
@click.option(
    "--recompute",
    is_flag=True,
    help="Predict again from learned parameters: a record of which that gives the same is "
    "recomputed. Takes its datasets and weights.",
)
@click.option("--weights", help="For --recompute: where the weights lie here.")
@class_texts_option
@plugins_option
@click.option("--device", default="auto", show_default=True, help="For --recompute.")
@click.option("--workers", type=int, help="For --recompute: threads that decode images ahead.")
def verify(
    places: tuple[Path, ...],
    data: Path | None,
    again: bool,
    verbose: bool,
    recompute: bool,
    weights: str | None,
    class_texts: tuple[str, ...],
    **machine: Any,
) -> None:
    """Check records and compute their counts again from their predictions.

    PLACES default to the accepted results; other records are also compared with these. Says
    verified (also against the prepared datasets), consistent (all that can be checked without
    them agrees), reported (valid, but without predictions) or refused with every reason; exits
    with 1 if one is refused. Records of schema 1, whose predictions hold no probabilities, are
    marked accuracy only. What was verified before is known by its hash and not recomputed (--all:
    it is); how records stand beside each other is always compared.

    With --recompute, a verified record is predicted again from its learned parameters (beside it,
    or where its learned.json points to). It is recomputed if they give the same predictions, and
    refused if not; what cannot be recomputed stays as it is, with the reason. `build` and `show`
    know it from then on.
    """
    from promptbench import records as store
    from promptbench.leaderboard.accepting import claims, standing
    from promptbench.leaderboard.checking import places as own

    paths = store.find_some(places) if places else store.find([own.results()])
    with verified.opened(again) as memory:
        judged = standing.judge(paths, data, memory, streams.progress())
    told = (
        _recomputed(judged, data, weights, class_texts, machine)
        if recompute
        else claims.promoted(judged)
    )
    verdicts, states = [], []
    for verdict in told:  # each as soon as it is known
        verdicts.append(verdict)
        states.append(verdicts_said.say_one(verdict, verbose))
    verdicts_said.say_notes(verdicts, verbose)
    click.echo(verdicts_said.counts(verdicts) or "no records yet", err=True)
    standing.counting(verdicts)  # records of one cell must agree
    sys.exit(int("refused" in states))


def _recomputed(
    judged: Sequence[Any],
    data: Path | None,
    weights: str | None,
    class_texts: tuple[str, ...],
    machine: dict[str, Any],
) -> Iterable[Any]:
    from promptbench.leaderboard.accepting import recomputing
    from promptbench.planning.machine import Machine
    from promptbench.reproduction import Whereabouts
    from promptbench.tracking.terminal import Terminal

    here = Whereabouts(str(data) if data else None, weights, class_texts)
    return recomputing.recompute_all(judged, Machine(**machine), here, Terminal())


@leaderboard.command(
    epilog=examples("leaderboard submit runs", "leaderboard submit runs/clip --out mine")
)
@click.argument("runs", nargs=-1, required=True, callback=existing, type=click.Path(path_type=Path))
@click.option(
    "--out",
    default="submission",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The folder to write; its results/ goes into a pull request to the results repository.",
)
@click.option(
    "--learned",
    multiple=True,
    help="hf:user/name, where `promptbench push` has put one of the runs: the submission points "
    "there for its learned parameters; may repeat.",
)
@_results
@_data
@_verbose
@plugins_option
def submit(
    runs: tuple[Path, ...],
    out: Path,
    learned: tuple[str, ...],
    data: Path | None,
    verbose: bool,
) -> None:
    """Collect records and predictions of RUNS for a pull request.

    They are verified first; if one is refused, its reasons are printed and nothing is written.
    Learned parameters do not belong into it; --learned says where they are, for those who want to
    recompute the predictions. Rows without all datasets, or with few seeds, are named.
    """
    from promptbench.leaderboard.accepting import submission

    verdicts = submission.submit(runs, out, data, learned)
    states = [verdicts_said.say_one(verdict, verbose) for verdict in verdicts]
    verdicts_said.say_notes(verdicts, verbose)
    click.echo(verdicts_said.counts(verdicts), err=True)
    if "refused" in states:
        click.echo("nothing was written; leave the refused records out, or fix them", err=True)
        sys.exit(1)
    verdicts_said.say_lines(submission.incomplete(verdicts))
    told = f"wrote {out}: copy its {submission.RESULTS}/ into the results repository, and"
    click.echo(f"{told} open a pull request with the text of PULL_REQUEST.md", err=True)


@leaderboard.command(
    epilog=examples("leaderboard build", "leaderboard build runs --out site --analyses analysis")
)
@_places
@click.option(
    "--out",
    default="site",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The folder of the site; an earlier site there is replaced.",
)
@click.option(
    "--analyses",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folders of `promptbench analyze`, shown with their methods.",
)
@_results
@_data
@again_option
@plugins_option
def build(
    places: tuple[Path, ...], out: Path, analyses: tuple[Path, ...], data: Path | None, again: bool
) -> None:
    """Build the site of the results, and of more records under PLACES.

    Records that `verify` refuses are left out, and so are figures that are not PNG; a list of them
    is written beside the site, to OUT-left-out.txt. Every
    metric that is installed, or given with --plugin, has its tables. Each record has a page with
    what goes wrong in it, with pictures of datasets that are prepared under --data. Pages of an
    earlier site there of which nothing has changed are taken over (--all: none is).
    """
    from promptbench.leaderboard.accepting import left_out
    from promptbench.leaderboard.boards import building
    from promptbench.leaderboard.web import site
    from promptbench.records import scores

    refused: list[Any] = []
    reporter = streams.progress()
    with verified.opened(again) as memory:
        judged = building.judged(places, data, memory, reporter, [scores.EVERY])
        accepted = building.accepted(judged, refused.append)
        files: list[str] = []
        pages = site.build(accepted, out, analyses, files.append, data, memory, reporter)
    things = left_out.of_verdicts(refused)
    for reason in files:
        what, _, why = reason.partition(": ")
        things.append(left_out.LeftOut(left_out.ANALYSIS, what, why or reason))
    path = left_out.write(things, out)
    verdicts_said.say_lines(left_out.told(things, f"all in {path}"))
    click.echo(f"wrote {pages} pages; open {out / 'index.html'}", err=True)


@leaderboard.command(
    epilog=examples(
        "leaderboard show --protocol base_to_new",
        "leaderboard show runs --protocol few_shot --suite demo",
    )
)
@_places
@click.option("--protocol", required=True, help="A protocol (promptbench ls protocols).")
@click.option("--suite", help="Only this suite.")
@_results
@_data
@click.option(
    "--all", "whole", is_flag=True, help="Also published rows without an average, and sources."
)
@metrics_option
@plugins_option
def show(
    places: tuple[Path, ...],
    protocol: str,
    suite: str | None,
    data: Path | None,
    metrics: list[str] | None,
    whole: bool,
) -> None:
    """Print the ranking of a protocol, as on its page.

    PLACES hold records to rank beside the accepted ones. Averages are shown, the best first.
    """
    from rich.console import Console

    from promptbench.config import suites
    from promptbench.core.registry import PROTOCOLS
    from promptbench.leaderboard import terminal
    from promptbench.leaderboard.accepting import left_out
    from promptbench.leaderboard.boards import building
    from promptbench.records import scores

    PROTOCOLS.load(protocol)
    if suite is not None:
        suites.load(suite)
    asked = scores.load_all(metrics)
    refused: list[Any] = []
    with verified.opened() as memory:
        judged = building.judged(places, data, memory, streams.progress(), metrics or ())
        boards = building.boards(building.accepted(judged, refused.append), asked, memory)
    named = "promptbench leaderboard verify names them"
    verdicts_said.say_lines(left_out.told(left_out.of_verdicts(refused), named))
    terminal.show(boards, protocol, suite, Console(), whole)


@leaderboard.command(epilog=examples("leaderboard init my-results"))
@click.argument("folder", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write a repository for accepted records to FOLDER.

    It has the folder that submissions are copied into, a workflow that verifies each pull request
    and builds the site, and a README that says how to submit. Nothing that exists is overwritten.
    """
    from promptbench.scaffold import write_results_repository

    for path in write_results_repository(folder):
        click.echo(f"wrote {path}")
    click.echo(f"next: git init {folder}; promptbench leaderboard verify --results {folder}")


leaderboard.add_command(auditing.audit)

COMMANDS = (leaderboard,)
