"""The cells one after the other, in the process that was started."""

from __future__ import annotations

from promptbench.api import Executor, Work


class Local(Executor):
    """Computes in this process; other processes on the same folder share the work."""

    title = "this process, one cell after the other"
    takes_jobs = False

    def run(self, work: Work) -> None:
        work.compute_here()
