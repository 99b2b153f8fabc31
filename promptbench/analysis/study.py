"""`promptbench analyze`: open runs, measure each once, write and show every analysis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from promptbench.analysis import results
from promptbench.analysis.analysis import Analysis, chosen
from promptbench.analysis.kinds import Kind, complete, kinds
from promptbench.analysis.measure import Extent, Rows, measure
from promptbench.analysis.results import Result
from promptbench.analysis.rows import Number, halves
from promptbench.analysis.runs import Run, open_runs
from promptbench.core.registry import ANALYSES
from promptbench.errors import UserError
from promptbench.figures.style import Page
from promptbench.planning.machine import Machine
from promptbench.report.text import MIXED
from promptbench.reproduction import Whereabouts
from promptbench.support.prose import say
from promptbench.support.safe_text import printable
from promptbench.tracking import Listener

Publish = Callable[[Path, Result], None]


@dataclass(frozen=True)
class Study:
    """What is asked for; `analyses` are names of ANALYSES (none: all of them)."""

    analyses: Sequence[str]
    places: Sequence[Path]
    out: Path = Path("analysis")
    compared: bool = False
    extent: Extent = field(default_factory=Extent)
    machine: Machine = field(default_factory=Machine)
    here: Whereabouts = field(default_factory=Whereabouts)
    figures: Page = field(default_factory=Page)


def carry_out(
    study: Study,
    listener: Listener,
    console: Console | None = None,
    publish: Publish | None = None,
) -> list[Path]:
    """Analyse, and return the JSON files that were written.

    Raises:
        UserError: an unknown analysis, no runs, parts of them that are not here, or nothing that an
            analysis applies to; at the end, what an analysis of somebody else's has raised.
    """
    wanted = chosen(study.analyses)
    runs = open_runs(study.places, study.machine, listener, study.here)
    found = kinds(runs)
    for kind in found:
        _incomplete(kind, listener)
    failed: dict[str, str] = {}
    rows = {id(run): measure(run, wanted, study.extent, failed) for run in runs}
    written = []
    for name, analysis in wanted.items():
        if name in failed:
            continue
        for kind in found:
            shown = [run for run in kind.runs if rows[id(run)][name]]
            own = {id(run): rows[id(run)][name] for run in shown}
            if shown:
                series = _series(kind.runs, study.compared)
                some = replace(kind, runs=tuple(shown))
                written += _written(name, analysis, some, own, series, study, console, publish)
        _left_out(name, analysis, runs, rows, listener)
    if failed:
        raise UserError("; ".join(failed.values()))
    if not written:
        why = dict.fromkeys(analysis.lacking for analysis in wanted.values())
        raise UserError(f"{', '.join(wanted)}: nothing to show ({'; '.join(why)})")
    return written


def _written(
    name: str,
    analysis: Analysis,
    kind: Kind,
    rows: Mapping[int, list[Number]],
    series: Sequence[str],
    study: Study,
    console: Console | None,
    publish: Publish | None,
) -> list[Path]:
    """One analysis of runs of one kind: a summary, and files for all together or each method."""
    found = []
    for runs in [kind.runs] if study.compared else _by_method(kind.runs):
        own = [row for run in runs for row in rows[id(run)]]
        own += _across(name, analysis, own)
        drawn = [row for run in complete(runs, _line(study)) for row in rows[id(run)]]
        group = replace(kind, runs=tuple(runs))
        place = (study.out, study.extent.images, study.compared, series, study.figures)
        found.append(results.write(name, analysis, group, own, drawn, *place))
    if console is not None:
        _show(name, analysis, kind, rows, console)
        for path, result in found:
            kinds = ", ".join(sorted({Path(figure).suffix[1:] for figure in result.figures}))
            say(console, f"wrote {path} (csv, {kinds} beside it)")
    if publish is not None:
        for path, result in found:
            publish(path, result)
    return [path for path, _ in found]


def _show(
    name: str, analysis: Analysis, kind: Kind, rows: Mapping[int, list[Number]], console: Console
) -> None:
    """Print the summary of an analysis of runs of one kind."""
    say(console, f"{analysis.title}: {kind.about}", "bold")
    every = [row for run in kind.runs for row in rows[id(run)]]
    averaged = [row for run in complete(kind.runs, _title) for row in rows[id(run)]]
    final = halves(row for row in averaged if row.epoch is None and not row.item)
    across = _across(name, analysis, every)
    with ANALYSES.blaming(name):
        analysis.show(final, _once([row.title for row in every]), across, console)
    for text in kind.mixed:
        say(console, f"{MIXED} {text}", "dim")


def _across(name: str, analysis: Analysis, rows: list[Number]) -> list[Number]:
    with ANALYSES.blaming(name):
        return analysis.across(rows)


def _title(run: Run) -> str:
    return run.title


def _line(study: Study) -> Callable[[Run], tuple[str, ...]]:
    """What a line of a figure averages: a method, or one dataset of it."""
    if study.compared:
        return lambda run: (run.title,)
    return lambda run: (run.title, run.record.source.dataset)


def _incomplete(kind: Kind, listener: Listener) -> None:
    whole = {(run.title, run.record.seed) for run in complete(kind.runs, _title)}
    for title in _once([run.title for run in kind.runs]):
        seeds = {run.record.seed for run in kind.runs if run.title == title}
        lacking = sorted(seed for seed in seeds if (title, seed) not in whole)
        if lacking:
            named = f"{'seed' if len(lacking) == 1 else 'seeds'} {', '.join(map(str, lacking))}"
            listener.message(
                f"{kind.about}: {title}: {named} left out of averages over datasets, for lack of "
                "datasets or targets that other seeds have"
            )


def _by_method(runs: Sequence[Run]) -> list[list[Run]]:
    titles = _once([run.title for run in runs])
    return [[run for run in runs if run.title == title] for title in titles]


def _series(runs: Sequence[Run], compared: bool) -> list[str]:
    """The methods or datasets of all runs, so that each has its colour in every figure."""
    return _once([run.title if compared else run.record.source.dataset for run in runs])


def _once(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _left_out(
    name: str, analysis: Analysis, runs: Sequence[Run], rows: dict[int, Rows], listener: Listener
) -> None:
    titles = dict.fromkeys(run.title for run in runs if not rows[id(run)][name])
    if titles:
        listener.message(
            f"{name}: does not apply to {', '.join(titles)} ({printable(analysis.lacking)})"
        )
