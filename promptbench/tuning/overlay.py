"""Choose the settings that a suite's backbone needs of methods: `python -m
promptbench.tuning.overlay`.

The same search as `promptbench tune`: the same trials, validation images only, no targets. What is
chosen is one setting for all sources of a protocol, the trial with the highest validation accuracy
as a mean over them. The first trial is the setting by hand. Each method's files are written as soon
as its trials are done (`promptbench.spaces.kept`); the same command goes on where it was stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from promptbench.config import suites
from promptbench.config.suites import Suite
from promptbench.core.registry import PROTOCOLS
from promptbench.errors import UserError
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.planning.searched import Key
from promptbench.records.tuning import TuningInfo, best
from promptbench.running import session
from promptbench.spaces import kept
from promptbench.spaces.kept import KeptSearch, KeptTrial
from promptbench.tuning import choosing
from promptbench.tuning.search import Search, searches
from promptbench.tuning.tune import train_trials


def request_of(
    suite: Suite, methods: str | Sequence[str], protocol: str, seeds: str | Sequence[int]
) -> Request:
    """The request for a search over all sources of a protocol, with as many shots as is usual.

    Raises:
        UserError: a suite without settings of its own, a protocol that trains as another one.
    """
    if suite.overlay_folder is None:
        raise UserError(f"the suite {suite.name} has no settings of its own that could be chosen")
    asked = Request(
        methods=methods,
        protocol=protocol,
        suite=suite.name,
        shots=[suite.shots],
        seeds=seeds or suite.seeds,  # type: ignore[arg-type]  # as text, which it reads itself
        baseline=False,
    )
    if (trained := PROTOCOLS.load(protocol).cls.trains_as) is not None:
        raise UserError(f"{protocol} trains as {trained}, whose settings hold for it; name that")
    return asked


def chosen(search: Search, plans: Sequence[Plan], out: Path) -> KeptSearch:
    """What the records of all trials choose for all sources together.

    Raises:
        UserError: no trial without a training that diverged.
    """
    by_source = choosing.choices(search, plans, out)
    trials = _together(by_source)
    number = best([trial.mean for trial in trials])
    if number is None:
        raise UserError(
            f"{search.method.name}: a training of every trial diverged on some source, so that "
            "nothing can be chosen; its search space is too wide, or the recipe is wrong"
        )
    some = next(iter(by_source.values()))
    return KeptSearch(
        budget=some.budget,
        rule=kept.RULE,
        engine=some.engine,
        seeds=some.seeds,
        space=some.space,
        space_sha256=some.space_sha256,
        chosen=number,
        trials=trials,
    )


def _together(by_source: Mapping[Key, TuningInfo]) -> list[KeptTrial]:
    """Trials over all sources; none of their values is drawn or bound by source."""
    infos = {source: info for (_, source), info in by_source.items()}
    return [
        KeptTrial(
            values=same[0]["values"],
            validation={s: t["validation"] for s, t in zip(infos, same, strict=True)},
            cells=[cell for trial in same for cell in trial["cells"]],
        )
        for same in zip(*(info.trials for info in infos.values()), strict=True)
    ]


def search_settings(
    asked: Request, suite: Suite, budget: int, machine: Machine, folder: Path
) -> dict[str, KeptSearch]:
    """Search for each method of a request, one after the other, and write what is chosen beside
    what was found before under other protocols.

    Returns:
        What was chosen of each method.
    """
    compute = session.compute_of(machine)
    found = {}
    for search in searches([asked], budget):
        (plans,) = train_trials([search], machine, compute, None)
        name = search.method.name
        found[name] = chosen(search, plans, machine.out)
        path = folder / f"{name}{suites.SEARCH}"
        before = kept.read_file(path) if path.is_file() else {}
        kept.write(folder, name, suite.backbone, {**before, asked.protocol: found[name]})
    return found


@click.command()
@click.option("--method", "methods", required=True, help="Methods, comma-separated, or all.")
@click.option("--protocol", required=True)
@click.option("--suite", default="demo", show_default=True)
@click.option("--trials", type=int, default=6, show_default=True)
@click.option("--seeds", default="", help="Comma-separated; by default the suite's.")
@click.option("--jobs", type=int, default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/settings"))
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    help="Where to write; by default, beside the settings.",
)
def main(
    methods: str,
    protocol: str,
    suite: str,
    trials: int,
    seeds: str,
    jobs: int,
    out: Path,
    into: Path | None,
) -> None:
    """Choose a suite's own settings of methods by searches of one budget each."""
    try:
        own = suites.load(suite)
        asked = request_of(own, methods, protocol, seeds)
        folder = into or own.overlay_folder
        assert folder is not None, "request_of refuses a suite without one"
        found = search_settings(asked, own, trials, Machine(out=out, jobs=jobs), folder)
    except UserError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    for name, search in found.items():
        accuracy = search.trials[search.chosen - 1].mean
        click.echo(f"{name}: {search.place}, validation {accuracy:.2f}")


if __name__ == "__main__":
    main()
