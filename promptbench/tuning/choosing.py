"""The choice among trials, by validation accuracy and nothing else.

What is read of a trial is the validation accuracy in its record, which holds no test image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from promptbench import records
from promptbench.core.protocol import Source
from promptbench.core.recipe import Recipe, whole
from promptbench.errors import UserError
from promptbench.planning.cells import Cell
from promptbench.planning.plan import Plan
from promptbench.planning.searched import Key, key_of
from promptbench.records.tuning import ENGINE, RULE, Trial, TuningInfo, best, digest
from promptbench.running import failures
from promptbench.tuning.search import Search


def choices(search: Search, plans: Sequence[Plan], out: Path) -> dict[Key, TuningInfo]:
    """What is chosen for each source from the records of all trials.

    Args:
        plans: of the trials, in order.

    Raises:
        UserError: a source of which every trial has diverged.
    """
    found = {}
    for source, trials in _by_source(plans).items():
        made = [_trial(search, cells, out) for cells in trials]
        number = best([each["validation"] for each in made])
        if number is None:
            raise UserError(
                f"{search.method.name} on {source.key}: the training of every trial diverged, so "
                "that nothing can be chosen; its search space is too wide, or the recipe is wrong"
            )
        found[key_of(search.method.name, source)] = _info(search, trials[0], made, number)
    return found


def supposed(search: Search, plans: Sequence[Plan]) -> dict[Key, TuningInfo]:
    """Choices as if the first trial were best everywhere, to say what the chosen ones will cost."""
    found = {}
    for source, trials in _by_source(plans).items():
        made = [_described(search, cells, None) for cells in trials]
        made[0]["validation"] = 0.0
        found[key_of(search.method.name, source)] = _info(search, trials[0], made, 1)
    return found


def _by_source(plans: Sequence[Plan]) -> dict[Source, list[list[Cell]]]:
    """The cells of each source, trial by trial, a cell per seed."""
    found: dict[Source, list[list[Cell]]] = {}
    for number, made in enumerate(plans):
        own: dict[Source, list[Cell]] = defaultdict(list)
        for cell in made.cells:
            own[cell.leg.source].append(cell)
        for source, cells in own.items():
            trials = found.setdefault(source, [])
            assert len(trials) == number, "every trial has the same sources"
            trials.append(cells)
    return found


def _trial(search: Search, cells: Sequence[Cell], out: Path) -> Trial:
    accuracies = [_accuracy(cell, out) for cell in cells]
    known = [value for value in accuracies if value is not None]
    mean = fmean(known) if len(known) == len(accuracies) else None
    return _described(search, cells, mean)


def _accuracy(cell: Cell, out: Path) -> float | None:
    """The validation accuracy of a trial's cell in percent; None where its training diverged."""
    if not cell.is_done(out) and failures.has_diverged(cell, out):
        return None
    record = records.read(cell.folder(out) / records.RECORD)
    accuracy = record.validation.chosen if record.validation is not None else None
    if accuracy is None:
        raise UserError(f"{cell.label}: its record holds no validation accuracy to choose by")
    return accuracy


def _described(search: Search, cells: Sequence[Cell], validation: float | None) -> Trial:
    return Trial(
        values={name: in_force(cells[0], name) for name in search.space.parameters},
        validation=validation,
        cells=[cell.id for cell in cells],
    )


def in_force(cell: Cell, name: str) -> Any:
    """The value of a setting, called as in --set, of a cell."""
    owner, _, own = name.rpartition(".")
    if owner == Recipe.__name__:
        return whole(cell.recipe)[own]
    return {**cell.method.cls.younger, **cell.parameters}[own]


def _info(
    search: Search, first: Sequence[Cell], trials: Sequence[Trial], chosen: int
) -> TuningInfo:
    space = search.space.as_data()
    return TuningInfo(
        budget=search.budget,
        rule=RULE,
        engine=ENGINE,
        space=space,
        space_sha256=digest(space),
        seeds=[cell.seed for cell in first],
        chosen=chosen,
        trials=list(trials),
    )
