"""The cells of a run in this process: what they share, who listens, and one after the other."""

from __future__ import annotations

from pathlib import Path

from promptbench.lab import open_lab, settings_restored
from promptbench.planning.request import Request
from promptbench.running.cell import run_cell
from promptbench.running.sharing import work_through
from promptbench.running.work import Work
from promptbench.tracking import Listener, Listeners


def run(work: Work) -> None:
    """Compute the cells that no other process computes.

    Raises:
        RunError: the output folder cannot be written any more, a server is gone.
    """
    trackers = _trackers(work.request)
    try:
        with settings_restored():
            listeners = Listeners([work.listener, *trackers])
            lab = open_lab(work.plans, work.request, work.compute, listeners)
            work_through(work.cells, lab, run_cell)
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
