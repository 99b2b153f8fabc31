"""A run as trackers hear it, without anything that computes: two plans, cells that end and fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from promptbench.planning import labels, plan
from promptbench.planning.cells import Cell
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.records import Record
from promptbench.tracking import Epoch, Listener
from tests.made_records import record

LOSSES = ({"ce": 1.5, "total": 2.5}, {"ce": 1.0, "total": 1.25})
EPOCHS = tuple(Epoch(n, 0.1, losses, {"cls/block01": 1.0}) for n, losses in enumerate(LOSSES))


@dataclass(frozen=True)
class Recorded:
    """Two plans of two cells each, and the record that each cell has in the end."""

    plans: tuple[Plan, Plan]
    record: Record

    @property
    def cells(self) -> list[Cell]:
        """The cells of both plans, in order."""
        return [cell for made in self.plans for cell in made.cells]


def recorded(out: Path) -> Recorded:
    """A run of CoOp with two seeds under two protocols; nothing of it is done."""
    asked = {"datasets": "counts", "shots": 1, "seeds": "1,2", "baseline": False}
    requests = [Request("coop", name, **asked) for name in ("base_to_new", "few_shot")]
    first, second = labels.told_apart([plan.build(request, "fp32", out) for request in requests])
    plain = record()
    training = plain.training.model_copy(update={"losses": [dict(each) for each in LOSSES]})
    found = Recorded((first, second), plain.model_copy(update={"training": training}))
    assert all(made.pending() for made in found.plans)
    return found


def play(listener: Listener, run: Recorded, out: Path) -> Iterator[str]:
    """Let a listener hear the run, which is still open at its end; yields what comes next."""
    ended, resumed, failed, shared = run.cells
    yield "planned"
    for made in run.plans:
        listener.planned(made)
    yield "message"
    listener.message("note: \x1b[31mred")
    yield "a cell that ends"
    listener.cell_started(ended)
    with listener.task("fit", 2, "steps") as task:
        for epoch in EPOCHS:
            task.advance(1, "loss 0.1")
            listener.epoch_ended(ended, epoch)
    listener.cell_ended(ended, run.record)
    yield "a training that goes on"
    listener.cell_started(resumed)
    listener.training_resumed(resumed, [Epoch(0, 0.1, LOSSES[0], {})])
    listener.epoch_ended(resumed, EPOCHS[1])
    listener.cell_ended(resumed, run.record)
    yield "a cell that fails"
    listener.cell_started(failed)
    try:
        with listener.task("predict", 0, "images"):
            raise RuntimeError("the cell")
    except RuntimeError:
        listener.cell_failed(failed, "RuntimeError: the cell", out / "failed.log")
    yield "a cell without a training"
    listener.cell_started(shared)
    listener.cell_ended(shared, run.record)
    yield "waiting"
    listener.waiting(1)
    yield "a cell that is cut off"
    listener.cell_started(failed)
    listener.epoch_ended(failed, EPOCHS[0])
