"""Workers on the nodes of a Ray cluster, one for each GPU: unequal machines, clouds.

Nodes that see the output folder write there. Others get their cells from here, and what they
compute comes back as bytes. Ray only starts processes and carries messages.
"""

from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptbench.api import Executor, UserError, Work, counted
from promptbench.executors._ray import engine, shares
from promptbench.executors._ray.actor import LOG
from promptbench.executors._ray.crew import Crew
from promptbench.planning import profiles
from promptbench.planning.machine import Machine
from promptbench.support.safe_text import shortened
from promptbench.support.stopping import Stopped
from promptbench.workers.handing_out import sending
from promptbench.workers.looking_on.cancelling import Cancelled
from promptbench.workers.plan import orders

_LOOK = 1.0  # seconds between looks at what was started


class Ray(Executor):
    """Computes on the nodes of a Ray cluster."""

    title = "the nodes of a Ray cluster, a worker for each GPU"
    elsewhere = True
    takes_address = True
    _ends: queue.SimpleQueue[str]  # of what `submit` has started: why none of it is left

    def submit(self, argv: Sequence[str], folder: Path, machine: Machine, count: int) -> str:
        """Start copies of a command of promptbench, on as many nodes as possible.

        A node that does not see the folder gets its files, and what the command leaves there comes
        back into it. What was started ends with this process, and so does the connection to the
        cluster.
        """
        profile = profiles.of(machine)
        terms = shares.terms_of(machine, profile)
        connection = ExitStack()
        cluster = connection.enter_context(engine.connected(machine.address))
        atexit.register(connection.close)
        places = shares.slots(engine.nodes(), terms)  # the first of every node come first
        if len(places) < count:
            raise UserError(
                f"{cluster} has {counted(len(places), 'place')} for workers, and {count} are needed"
            )
        command = ["-P", "-m", "promptbench.cli", *argv[1:]]
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        calls = [
            engine.start(slot.node, slot.cpus, slot.gpus, command, folder, files)
            for slot in places[:count]
        ]
        self._ends = queue.SimpleQueue()

        def wait() -> None:
            self._ends.put(_brought_back(calls, folder))
            atexit.unregister(connection.close)
            connection.close()

        threading.Thread(target=wait, daemon=True).start()
        return f"{cluster}: {shares.told(places[:count])}"

    def ended(self, folder: Path) -> str | None:
        return None if self._ends.empty() else self._ends.get()

    def run(self, work: Work) -> None:
        profile = profiles.of(work.machine)
        terms = shares.terms_of(work.machine, profile)
        with engine.connected(work.machine.address) as cluster:
            order = orders.make(work.plans, work.machine, work.compute.precision)
            order.write()
            work.listener.message(cluster)
            local = replace(work, machine=replace(work.machine, out=order.machine.out))
            crew = Crew(local, order, sending.packed(order, list(work.plans)), terms, profile)
            try:
                crew.compute()
            except Cancelled:
                crew.stop_in_order()
                raise
            except Stopped as stop:
                crew.stop_in_order()
                stop.remedy = (
                    "the workers have saved what they were at, and ended; the same command goes on "
                    "from there"
                )
                raise
            finally:
                crew.close()


def _brought_back(calls: Sequence[Any], folder: Path) -> str:
    """Write what commands leave on nodes that do not see a folder into it; how all have ended."""
    waiting, reasons = list(calls), []
    while waiting:
        for call in engine.first_of(waiting, _LOOK):
            waiting.remove(call)
            try:
                brought = engine.result(call)
            except engine.Gone as error:
                reasons.append(str(error))
                continue
            for name, data in brought.items() if folder.is_dir() else ():  # nobody waits any more
                place = folder / Path(name).name  # wherever a node says that it lies
                with place.open("ab") as file:  # several have one name for their log
                    file.write(data)
    log = folder / LOG
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    last = next((line for line in reversed(lines) if line.strip()), None)
    reasons += [] if last is None else [f"the log ends with: {shortened(last, 200)}"]
    return "; ".join([f"all have ended (logs: {folder})", *dict.fromkeys(reasons)])
