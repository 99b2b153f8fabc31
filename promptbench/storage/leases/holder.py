"""Who holds a lease: a process on a machine, and whether it still lives there."""

from __future__ import annotations

import functools
import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from promptbench.support import processes, whereabouts

_PROC = Path("/proc")
_GONE = "ZX"  # states of a process that has ended and that its parent has not asked after


@dataclass(frozen=True)
class Holder:
    """A process, with one claim of its.

    `boot` and `namespace` say where a process id means what it says: one run of one kernel, and one
    of its lists of processes (containers have their own). `started` is when the process started, in
    ticks since the boot, since ids are given out again; 0 where the system does not say.
    """

    claim: str
    worker: str
    host: str
    pid: int
    started: int
    boot: str
    namespace: str
    job: str | None = None

    @classmethod
    def of_this_process(cls) -> Holder:
        """This process, with a new claim."""
        return cls(claim=uuid.uuid4().hex, **_this_process(os.getpid()))

    @classmethod
    def read(cls, data: bytes) -> Holder | None:
        """What `encoded` gave; None for anything else."""
        try:
            found = json.loads(data)
            return cls(**{**found, "pid": int(found["pid"]), "started": int(found["started"])})
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def encoded(self) -> bytes:
        """The content of a lease."""
        return json.dumps(asdict(self)).encode() + b"\n"

    def lives(self) -> bool | None:
        """Whether the process lives; None where that cannot be seen from this process."""
        here = _this_process(os.getpid())
        if (self.boot, self.namespace, self.host) != (
            here["boot"],
            here["namespace"],
            here["host"],
        ):
            return None
        if not processes.exists(self.pid):
            return False
        found = _state_of(self.pid)
        if found is None or not self.started:  # no /proc, or it hides others' processes
            return None
        state, started = found
        return started == self.started and state not in _GONE

    def __str__(self) -> str:
        job = f", {self.job}" if self.job else ""
        return f"{self.host} pid {self.pid}{job}"


def worker() -> str:
    """What this process is called among workers: hexadecimal digits, different for each."""
    return str(_this_process(os.getpid())["worker"])


@functools.lru_cache(maxsize=1)  # a forked process is another one
def _this_process(pid: int) -> dict[str, Any]:
    found = _state_of(pid)
    return {
        "worker": uuid.uuid4().hex[:12],
        "host": socket.gethostname(),
        "pid": pid,
        "started": found[1] if found else 0,
        "boot": _boot(),
        "namespace": _namespace(),
        "job": whereabouts.job(),
    }


def _state_of(pid: int) -> tuple[str, int] | None:
    """A process's state and when it started, as Linux tells it (proc(5)); None elsewhere."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()  # its name, in brackets, may hold anything
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def _boot() -> str:
    """Which run of which kernel this is.

    Without /proc (macOS) it is the machine: a process of an earlier boot then seems to live if its
    id was given out again. `started` is not known there either, so that `lives` says None, and the
    lease's heartbeat decides.
    """
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{uuid.getnode():x}"


def _namespace() -> str:
    """Which list of processes ids belong to; without /proc there is one per machine."""
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""
