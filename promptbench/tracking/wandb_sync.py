"""Sending finished cells to Weights & Biases from their records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from promptbench import records as store
from promptbench.errors import UserError
from promptbench.tracking import facts, jsonl, wandb_log
from promptbench.tracking.wandb_log import Place


def sync(places: Sequence[Path], place: Place, sent: Callable[[str], None]) -> int:
    """Log every record under `places` as the run of its cell; the number of runs.

    A cell that was logged before has the same run id; online, its run is continued, not doubled.

    Raises:
        UserError: no records, wandb is not installed, or the service refuses.
    """
    wandb = wandb_log.module()
    found = {path: store.read(path) for path in store.find_some(places)}
    norms = jsonl.norms_of(path.with_name(jsonl.LOG) for path in found)
    for path, record in found.items():
        known = facts.of_record(record)
        try:
            run = wandb_log.start(wandb, known, place)
            wandb_log.log_epochs(run, record, norms[record.training_id])
            wandb_log.log_record(wandb, run, record, path.parent)
            run.finish()
        except (wandb.Error, OSError) as error:
            raise UserError(
                f"Weights & Biases refused {path} ({type(error).__name__}: {error}); "
                "--mode offline writes runs that `wandb sync` uploads later"
            ) from error
        sent(f"{known.id}  {known.name}")
    return len(found)
