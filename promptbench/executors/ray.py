"""Workers on the nodes of a Ray cluster, one for each GPU: unequal machines, clouds.

Nodes that see the output folder write there. Others get their cells from here, and what they
compute comes back as bytes. Ray only starts processes and carries messages.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from promptbench.api import Executor, UserError, Work, counted
from promptbench.executors import _ray_engine as engine
from promptbench.executors import _ray_shares as shares
from promptbench.executors._ray_crew import Crew
from promptbench.planning import profiles
from promptbench.planning.machine import Machine
from promptbench.support.stopping import Stopped
from promptbench.workers.handing_out import sending
from promptbench.workers.looking_on.cancelling import Cancelled
from promptbench.workers.plan import orders


class Ray(Executor):
    """Computes on the nodes of a Ray cluster."""

    title = "the nodes of a Ray cluster, a worker for each GPU"
    elsewhere = True
    takes_address = True

    def submit(self, argv: Sequence[str], folder: Path, machine: Machine, count: int) -> str:
        """Start copies of a command of promptbench, on as many nodes as possible.

        What was started ends with this process, and so does the connection to the cluster.
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
        for slot in places[:count]:
            engine.start(slot.node, slot.cpus, slot.gpus, command, folder / "log.txt")
        return f"{cluster}: {shares.told(places[:count])}"

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
