"""Sending finished cells to Weights & Biases from their records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptbench import records as store
from promptbench.errors import UserError
from promptbench.support.safe_text import shown_path
from promptbench.tracking import facts, jsonl, wandb_grid, wandb_log
from promptbench.tracking.wandb_place import Place


def sync(
    places: Sequence[Path], place: Place, sent: Callable[[str], None], root: Path | None = None
) -> int:
    """Log every record under `places` as the run of its cell, and one run with the tables of all;
    the number of cells.

    A cell that was logged before has the same run id; online, its run is continued, not doubled.

    Args:
        root: the data root in which images of mistakes are looked for.

    Raises:
        UserError: no records, wandb is not installed, or the service refuses.
    """
    wandb = wandb_log.module()
    found = {path: store.read(path) for path in store.find_some(places)}
    norms = jsonl.norms_of(path.with_name(jsonl.LOG) for path in found)
    for path, record in found.items():
        known = facts.of_record(record)
        known = replace(known, config={**known.config, **jsonl.where(path.with_name(jsonl.LOG))})
        with _refusing(wandb, path):
            run = wandb_log.start(wandb, known, place)
            wandb_log.log_epochs(run, record, norms[record.training_id])
            wandb_log.log_record(wandb, run, record, path.parent, place, root)
            run.finish()
        sent(f"{known.id}  {known.name}")
    if scored := [record for record in found.values() if record.targets]:  # no trials
        with _refusing(wandb, "the tables"):
            known = wandb_grid.log(scored, place)
        sent(f"{known.id}  {known.name}")
    return len(found)


@contextmanager
def _refusing(wandb: Any, what: object) -> Iterator[None]:
    try:
        yield
    except (wandb.Error, OSError, UnicodeError) as error:  # a command line that is not text
        raise UserError(
            f"Weights & Biases refused {shown_path(what)} ({type(error).__name__}: {error}); "
            "--mode offline writes runs that `wandb sync` uploads later"
        ) from error
