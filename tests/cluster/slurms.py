"""A real Slurm with two nodes on this machine, and what can go wrong with it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("slurm")
_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "munged")


def missing() -> str | None:
    """Why no cluster can be started here; None if one can."""
    if os.geteuid() != 0:
        return "a Slurm of one's own needs root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    lacking = [name for name in _PROGRAMS if shutil.which(name, path=path) is None]
    return f"not installed: {', '.join(lacking)} (make slurm)" if lacking else None


@contextmanager
def started() -> Iterator[Cluster]:
    """A cluster inside the block; SLURM_CONF leads all commands to it."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # munge's user must reach it
    folder.chmod(0o755)
    before = os.environ.get("SLURM_CONF")
    try:
        subprocess.run([SCRIPT, "up", folder], check=True, stdout=subprocess.DEVNULL, timeout=60)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        yield Cluster(folder)
    finally:
        subprocess.run([SCRIPT, "down", folder], timeout=60)
        os.environ.pop("SLURM_CONF", None)
        if before is not None:
            os.environ["SLURM_CONF"] = before
        for _ in range(25):  # the daemons take a moment, and write to their last
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.2)


def ask(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout


def wait_until(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is the case."""
    limit = time.monotonic() + seconds
    while not what():
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds} s; the queue: {ask('squeue')}")
        time.sleep(0.2)


@dataclass(frozen=True)
class Cluster:
    """The cluster, and what its tests do to it."""

    folder: Path

    def running(self) -> list[str]:
        """The jobs of workers that run."""
        return ask("squeue", "-h", "-t", "R", "-p", "low", "-r", "-o", "%i").split()

    def workers(self) -> list[int]:
        """The processes of workers."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_bytes().split(b"\0")
                environment = (path.parent / "environ").read_bytes()
                mine = f"SLURM_CONF={self.folder}".encode() in environment
                if (
                    mine
                    and b"promptbench.cli" in words
                    and b"work" in words
                    and b"srun" not in words
                ):
                    found.append(int(path.parent.name))
        return found

    def kill_a_worker(self, stream: random.Random) -> bool:
        """Kill the process of a worker; whether there was one."""
        workers = self.workers()
        with suppress(ProcessLookupError):
            if workers:
                os.kill(stream.choice(workers), signal.SIGKILL)
        return bool(workers)

    def preempt(self, stream: random.Random) -> bool:
        """Take the node from a worker for a job of higher priority; whether one ran."""
        if not self.running():
            return False
        ask(
            "sbatch",
            "-p",
            "high",
            "-o",
            "/dev/null",
            "-w",
            stream.choice(["n1", "n2"]),
            "--wrap",
            "true",
        )
        return True

    def warn(self, stream: random.Random) -> bool:
        """Send a worker what Slurm sends ahead of the time limit; whether one ran."""
        if not (jobs := self.running()):
            return False
        with suppress(subprocess.CalledProcessError):  # it has just ended
            ask("scancel", "--signal=USR1", stream.choice(jobs))
        return True

    def cancel_a_worker(self, stream: random.Random) -> bool:
        """End the job of one worker; whether one ran."""
        if not (jobs := self.running()):
            return False
        with suppress(subprocess.CalledProcessError):
            ask("scancel", stream.choice(jobs))
        return True

    def lose_a_node(self, stream: random.Random) -> bool:
        """Kill a node's daemon and take the node down, which requeues its job; start it again."""
        node = stream.choice(["n1", "n2"])
        busy = bool(ask("squeue", "-h", "-t", "R", "-w", node, "-o", "%A").split())
        with suppress(ProcessLookupError, FileNotFoundError, ValueError):
            os.kill(int((self.folder / f"slurmd-{node}.pid").read_text()), signal.SIGKILL)
        ask("scontrol", "update", f"nodename={node}", "state=down", "reason=gone")
        time.sleep(1)
        subprocess.run(["slurmd", "-N", node], check=True, timeout=30)
        with suppress(subprocess.CalledProcessError):  # it has come back by itself
            ask("scontrol", "update", f"nodename={node}", "state=resume")
        return busy
