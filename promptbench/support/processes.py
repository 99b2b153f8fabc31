"""What the operating system says of processes: whether one is there, how one ended, its memory.

Windows has no `resource`, and there `os.kill(pid, 0)` ends the process that it is asked about, so
that psutil answers, which is installed on Windows only.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

_MEMORY = Path("/proc/meminfo")  # of Linux


def exists(pid: int) -> bool:
    """Whether a process of this machine has this id, whoever's it is."""
    if sys.platform == "win32":
        import psutil

        return bool(psutil.pid_exists(pid))
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def ending(code: int | None) -> str:
    """How a process has ended, in words, by its exit code: minus the number of a signal, if one
    ended it."""
    if code is None or code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):  # a system need not have a name for each
        name = signal.Signals(-code).name
        return f"{name}, perhaps for lack of memory" if name == "SIGKILL" else name
    return f"signal {-code}"


def peak_memory() -> int:
    """The most bytes of memory that this process has had."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 2**10


def free_memory() -> int:
    """Bytes of memory that the machine can still give, what it keeps of files included where that
    is known; 0 where it does not say."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.virtual_memory().available)
    with suppress(OSError, UnicodeError):
        for line in _MEMORY.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 2**10
    if "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return 0
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
