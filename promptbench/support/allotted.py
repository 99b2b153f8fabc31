"""What of the machine this process may use, as batch systems and containers have it.

Cores and memory are those of the process: its affinity (taskset, Slurm), and the limits of its
control group (containers; cgroup v2 and v1) where there are any.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from promptbench.support import processes

CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_MOST_THREADS = 16  # beyond them the interpreter's lock gives little more (benchmarks/README.md)
_UNLIMITED = 2**60  # what version 1 calls no limit is about 2^63


def cores() -> int:
    """Cores that this process may compute on at the same time, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    for folder in _groups("cpu"):
        count = min(count, _quota(folder) or count)
    return max(count, 1)


def threads(processes: int = 1) -> int:
    """Threads that read and decode ahead, where as many processes as this one share the cores: one
    for each core, at least 1 and at most 16."""
    return min(max(cores() // processes, 1), _MOST_THREADS)


def memory() -> int:
    """Bytes of memory that this process can still have; 0 where the system does not say."""
    found = processes.free_memory()
    for folder in _groups("memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        if limit is not None and limit < _UNLIMITED:
            found = min(found, max(limit - (used or 0) + _of_files(folder), 0))
    return found


def _quota(folder: Path) -> int | None:
    """Cores that a group may use, rounded up; None without a limit."""
    words = _text(folder / "cpu.max").split()
    if len(words) != 2:
        words = [_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if not all(word.isdecimal() and int(word) for word in words):  # "max", or -1: no limit
        return None
    quota, period = map(int, words)
    return -(-quota // period)


def _of_files(folder: Path) -> int:
    """Bytes that a group keeps of files and gives up when they are needed."""
    words = (line.split() for line in _text(folder / "memory.stat").splitlines())
    return next((int(n) for name, n in words if name == "inactive_file" and n.isdecimal()), 0)


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it, as far as they are seen."""
    for line in _text(_OWN).splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        root = CGROUPS / names if names else CGROUPS
        folder = root / path.lstrip("/")
        yield from (each for each in (folder, *folder.parents) if each.is_relative_to(root))


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeError):
        return ""
