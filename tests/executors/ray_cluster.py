"""A Ray cluster of this machine: a driver's node, one that sees all folders, one that does not.

The latter is started in a mount namespace of its own, with an empty file system over one folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

QUIET = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
_START = "from ray.scripts.scripts import main; main()"


def unsharing() -> list[str] | None:
    """A command that starts another one in a mount namespace; None where that is not allowed."""
    command = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    try:
        done = subprocess.run(
            [*command, "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return command if done.returncode == 0 else None


@dataclass
class Nodes:
    """The cluster; `hidden` is the folder that nodes of `blind` do not see."""

    cluster: Any
    hidden: Path
    blind: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add_a(self, name: str = "a") -> Any:
        """A node that sees all folders."""
        return self.cluster.add_node(num_cpus=1, node_name=name, **QUIET)

    def add_blind(self, name: str = "b", **environment: str) -> None:
        """A node that does not see `hidden`; `environment` is what is different in its own."""
        command = unsharing()
        assert command is not None
        start = [sys.executable, "-c", _START, "start", f"--address={self.address}", "--block"]
        start += ["--num-cpus=1", "--num-gpus=0", f"--node-name={name}", "--disable-usage-stats"]
        start += [f"--object-store-memory={80 * 2**20}"]
        script = f'mount -t tmpfs none "{self.hidden}"; exec "$@"'
        with (self.hidden.parent / f"{name}.log").open("wb") as log:
            self.blind[name] = subprocess.Popen(
                [*command, "sh", "-c", script, "sh", *start],
                stdout=log,
                stderr=log,
                env=os.environ | environment,
                start_new_session=True,
            )
        self._wait_for(name)

    def _wait_for(self, name: str) -> None:
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            known = self.cluster.global_state.node_table()
            if any(each["Alive"] and each["NodeName"] == name for each in known):
                return
            time.sleep(0.2)
        raise AssertionError(f"node {name} does not come")

    def remove_blind(self, name: str) -> None:
        """Kill a node's daemons at once; its workers notice."""
        process = self.blind.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _with_a_head(times: int = 3) -> Any:
    """The cluster; Ray gives a node 30 seconds to come up, which a busy machine may not keep."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "node_name": "driver", **QUIET}
    for left in reversed(range(times)):
        try:
            return Cluster(initialize_head=True, head_node_args=head)
        except Exception as error:  # Ray has not a kind of its own for it
            if left == 0 or "timed out during startup" not in str(error):
                raise
            subprocess.run([sys.executable, "-c", _START, "stop", "--force"], capture_output=True)
    raise AssertionError("times is at least 1")


@contextmanager
def started(folder: Path) -> Iterator[Nodes]:
    """A cluster with the driver's node, which has no CPU for workers; all ends with the block."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    hidden = folder / "hidden"
    hidden.mkdir()
    cluster = _with_a_head()
    nodes = Nodes(cluster, hidden)
    try:
        yield nodes
    finally:
        for name in list(nodes.blind):
            nodes.remove_blind(name)
        cluster.shutdown()
