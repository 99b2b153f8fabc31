"""What was chosen, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptbench.core.registry import METHODS
from promptbench.planning.searched import Key
from promptbench.records.tuning import TuningInfo
from promptbench.report.grid import Grid, GridRow
from promptbench.report.text import NOTHING
from promptbench.support.prose import counted


def show_choices(choices: Mapping[str, Mapping[Key, TuningInfo]]) -> None:
    """Print the choices of each protocol and method on the terminal."""
    from promptbench.report.format import TERMINAL, render_grids

    print(render_grids(TERMINAL, grids(choices)), end="")


def grids(choices: Mapping[str, Mapping[Key, TuningInfo]]) -> list[Grid]:
    """A grid for each protocol and method, with a row for each source."""
    found = []
    for protocol, own in choices.items():
        for method in dict.fromkeys(method for method, _ in own):
            sources = {source: info for (name, source), info in own.items() if name == method}
            found.append(_grid(protocol, METHODS.load(method).cls.title, sources))
    return found


def _grid(protocol: str, title: str, sources: Mapping[str, TuningInfo]) -> Grid:
    some = next(iter(sources.values()))
    spent = f"{counted(some.budget, 'trial')}, {counted(len(some.seeds), 'seed')}"
    diverged = sum(each["validation"] is None for i in sources.values() for each in i.trials)
    lost = [f"{counted(diverged, 'trial')} diverged, and counted as spent"] if diverged else []
    return Grid(
        title=f"{title}, {protocol}: chosen of {spent}",
        columns=("trial", "validation", "own setting", *map(_plain, some.values)),
        rows=tuple(_row(source, info) for source, info in sources.items()),
        notes=(f"{some.rule}; trial 1 is the method's own setting (unified)", *lost),
        head="source",
    )


def _row(source: str, info: TuningInfo) -> GridRow:
    best, own = info.trials[info.chosen - 1]["validation"], info.trials[0]["validation"]
    cells = (str(info.chosen), _percent(best), _percent(own), *map(_short, info.values.values()))
    facts = {"source": source, "trial": info.chosen, "validation": best, "own_setting": own}
    return GridRow(source, cells, {**facts, **info.values})


def _plain(name: str) -> str:
    return name.rpartition(".")[2]


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
