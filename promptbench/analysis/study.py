"""`promptbench analyze`: open runs, measure each once, write and show every analysis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from promptbench.analysis import results, summary
from promptbench.analysis.measure import ANALYSES, Extent, Rows, correlations, measure
from promptbench.analysis.results import Result
from promptbench.analysis.runs import Machine, Run, open_runs
from promptbench.errors import UserError, unknown
from promptbench.tracking import Listener

Publish = Callable[[Path, Result], None]


@dataclass(frozen=True)
class Study:
    """What is asked for; `analyses` are names of ANALYSES."""

    analyses: Sequence[str]
    places: Sequence[Path]
    out: Path = Path("analysis")
    compared: bool = False
    extent: Extent = field(default_factory=Extent)
    machine: Machine = field(default_factory=Machine)


def carry_out(
    study: Study,
    listener: Listener,
    console: Console | None = None,
    publish: Publish | None = None,
) -> list[Path]:
    """Analyse, and return the JSON files that were written.

    Raises:
        UserError: no runs, parts of them that are not here, or nothing that an analysis applies to.
    """
    for name in study.analyses:
        if name not in ANALYSES:
            raise unknown("analysis", name, ANALYSES)
    runs = open_runs(study.places, study.machine, listener)
    groups = _grouped(runs, study.compared)
    rows = {id(run): measure(run, study.analyses, study.extent) for run in runs}
    written = []
    for name in study.analyses:
        for group in groups:
            path = _one(name, group, rows, study, console, publish)
            written += [path] if path else []
        _left_out(name, runs, rows, listener)
    if not written:
        raise UserError(
            f"{', '.join(study.analyses)}: nothing to show; these runs have no visual tokens, or "
            "no classes that were not learnt"
        )
    return written


def _one(
    name: str,
    group: Sequence[Run],
    rows: dict[int, Rows],
    study: Study,
    console: Console | None,
    publish: Publish | None,
) -> Path | None:
    """One analysis of one method, or of the methods compared."""
    shown = [run for run in group if rows[id(run)][name]]
    found = [row for run in shown for row in rows[id(run)][name]]
    if not shown:
        return None
    if name == "field":
        found += correlations(found)
    series = dict.fromkeys(
        run.title if study.compared else run.record.source.dataset for run in group
    )
    path, result = results.write(
        name, shown, found, study.out, study.extent.images, study.compared, list(series)
    )
    if console is not None:
        console.print(f"{result.title}: {result.suite}, {result.protocol}", style="bold")
        summary.show(name, found, console)
        kinds = ", ".join(sorted({Path(figure).suffix[1:] for figure in result.figures}))
        console.print(f"wrote {path} (csv, {kinds} beside it)", highlight=False, soft_wrap=True)
    if publish is not None:
        publish(path, result)
    return path


def _grouped(runs: Sequence[Run], compared: bool) -> list[list[Run]]:
    """The runs of one figure: of one suite, protocol and number of shots, and of one method unless
    methods are compared.

    Raises:
        UserError: two backbones under one suite and protocol.
    """
    found: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    for run in runs:
        record = run.record
        title = "" if compared else run.title
        found[record.suite, record.protocol.name, str(record.source.shots), title].append(run)
    for group in found.values():
        if len({run.record.backbone.sha256 for run in group}) > 1:
            raise UserError(
                f"{group[0].title}: runs with several backbones cannot stand in one figure; name "
                "the folders of one of them"
            )
    return list(found.values())


def _left_out(name: str, runs: Sequence[Run], rows: dict[int, Rows], listener: Listener) -> None:
    titles = dict.fromkeys(run.title for run in runs if not rows[id(run)][name])
    if titles:
        listener.message(f"{name}: does not apply to {', '.join(titles)} ({_WHY[name]})")


_WHY = {
    "norms": "no visual tokens",
    "attention": "nothing was looked at",
    "geometry": "nothing was looked at",
    "field": "the image tower is left alone, so that the field is zero, or no other classes",
}
