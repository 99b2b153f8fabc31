"""The cells of a run in this process: what they share, who listens, and one after the other."""

from __future__ import annotations

from pathlib import Path

from promptbench.gpu_errors import lost_behind
from promptbench.lab import arithmetic, open_lab
from promptbench.running.second_try import run_cell_somehow
from promptbench.running.sharing import work_through
from promptbench.running.work import Work
from promptbench.seeding import seeded
from promptbench.tracking import Listeners, choosing


def run(work: Work) -> None:
    """Compute the cells that no other process computes.

    Raises:
        RunError: the output folder cannot be written any more, a server or the GPU is gone.
    """
    request = work.request
    trackers = choosing.of_process(request.track, Path(request.out), request.quiet)
    try:
        with arithmetic.restored(), seeded(0, "run"):  # the caller's settings and generators stay
            for made in work.plans:
                trackers.planned(made)
            listeners = Listeners([work.listener, trackers])
            lab = open_lab(work.plans, work.request, work.compute, listeners)
            work_through(work.cells, lab, run_cell_somehow)
    except RuntimeError as error:
        lost = lost_behind(error)  # leaving the blocks asks the GPU for its state
        if lost is None:
            raise
        raise lost from None
    finally:
        trackers.close()
