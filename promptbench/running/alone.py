"""The cells of a run in this process: what they share, who listens, and one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from promptbench.planning.plan import Cell, Plan
from promptbench.planning.request import Request
from promptbench.running.cell import run_cell
from promptbench.running.compute import Compute
from promptbench.running.lab import open_lab, settings_restored
from promptbench.running.sharing import work_through
from promptbench.tracking import Listener, Listeners


def compute(
    plans: Sequence[Plan],
    cells: Sequence[Cell],
    request: Request,
    resolved: Compute,
    listener: Listener,
) -> None:
    """Compute the cells that no other process computes.

    Raises:
        RunError: the output folder cannot be written any more, a server is gone.
    """
    trackers = _trackers(request)
    try:
        with settings_restored():
            lab = open_lab(plans, request, resolved, Listeners([listener, *trackers]))
            work_through(cells, lab, run_cell)
    finally:
        for tracker in trackers:
            tracker.close()


def _trackers(request: Request) -> list[Listener]:
    from promptbench.tracking.jsonl import JsonLines

    trackers: list[Listener] = [JsonLines(Path(request.out))]
    if request.wandb != "off":
        from promptbench.tracking.wandb_runs import WandbRuns

        trackers.append(WandbRuns(request.wandb, Path(request.out)))
    return trackers
