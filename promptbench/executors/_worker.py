"""A process of `processes`: it computes as any other, and reports its progress to the parent."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from promptbench.api import UserError, Work
from promptbench.models.gpu_errors import GpuLost
from promptbench.support import stopping
from promptbench.support.crew import end_with_the_parent
from promptbench.support.stopping import Stopped
from promptbench.support.surroundings import only_show_warnings, tell_warnings
from promptbench.tracking.remote import Remote

_GPU_LOST = 75  # the exit code of a process that can be replaced: "temporary failure"


def take_part(packed: bytes, wants_norms: bool, reports: Connection) -> None:
    """Do the work that the parent has packed; its listener may want norms.

    A signal ends it as it ends a run, and the parent hears what was saved. So does the loss of
    its GPU, with the reason.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    try:
        with stopping.answering(second=stopping.ignore):
            stopping.unblock()  # the parent has started this process with signals blocked
            _take_part(packed, wants_norms, reports)
    except Stopped as stop:
        with suppress(ConnectionError):
            reports.send(stop)
        os._exit(stop.exit_code)  # whatever other threads are still at
    except GpuLost as lost:
        with suppress(ConnectionError):
            reports.send(lost)
        os._exit(_GPU_LOST)  # in order, it would ask the GPU to tidy up


def _take_part(packed: bytes, wants_norms: bool, reports: Connection) -> None:
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    only_show_warnings()
    remote = Remote(reports, wants_norms)
    tell_warnings(remote.message)
    work = Work.unpacked(packed, remote)
    try:
        work.compute_here()
    except GpuLost:
        raise
    except UserError as error:
        with suppress(ConnectionError):  # the parent is gone
            reports.send(error)
