"""Runs commands of promptbench with what Windows lacks taken away from its modules.

    python -m tests.like_windows ls methods THEN ls suites

The modules of promptbench get `os`, `signal` and `sys` without what only POSIX systems have, no
`fcntl`, `resource` and their kind, and a psutil of the few functions that they ask for. Other
packages are as they are. It is not Windows: paths, open files and processes stay those of here.
"""

from __future__ import annotations

import builtins
import importlib
import os
import pkgutil
import signal
import sys
import tomllib
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

THEN = "THEN"  # between the words of one command and those of the next
ABSENT = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog", "crypt"}
NOT_IN_OS = [
    "chown",
    "confstr",
    "fchmod",
    "fchown",
    "fork",
    "forkpty",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getloadavg",
    "getpgid",
    "getpgrp",
    "getpriority",
    "getresuid",
    "getsid",
    "getuid",
    "killpg",
    "lchown",
    "lockf",
    "mkfifo",
    "mknod",
    "nice",
    "openpty",
    "posix_fadvise",
    "posix_fallocate",
    "pread",
    "preadv",
    "pwrite",
    "pwritev",
    "readv",
    "register_at_fork",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_yield",
    "sendfile",
    "setgid",
    "setpgid",
    "setpriority",
    "setsid",
    "setuid",
    "statvfs",
    "sync",
    "sysconf",
    "sysconf_names",
    "uname",
    "wait",
    "wait3",
    "wait4",
    "waitid",
    "writev",
    "WNOHANG",
    "O_CLOEXEC",
    "O_DIRECTORY",
    "O_NOFOLLOW",
    "O_NONBLOCK",
    "O_SYNC",
]
NOT_IN_SIGNAL = [
    "SIGALRM",
    "SIGCHLD",
    "SIGCONT",
    "SIGHUP",
    "SIGKILL",
    "SIGPIPE",
    "SIGSTOP",
    "SIGTSTP",
    "SIGUSR1",
    "SIGUSR2",
    "SIGXCPU",
    "SIG_BLOCK",
    "SIG_SETMASK",
    "SIG_UNBLOCK",
    "alarm",
    "pthread_kill",
    "pthread_sigmask",
    "setitimer",
    "siginterrupt",
    "sigpending",
    "sigtimedwait",
    "sigwait",
]


def without(module: types.ModuleType, names: Iterable[str], **other: Any) -> types.ModuleType:
    """A module like another one, without some of its names, and with others in their place."""
    found = types.ModuleType(module.__name__)
    gone = set(names)
    found.__dict__.update({name: value for name, value in vars(module).items() if name not in gone})
    found.__dict__.update(other)
    return found


def _kill(pid: int, number: int) -> None:
    assert number != 0, "on Windows this ends the process that it asks about"
    os.kill(pid, number)


def psutil() -> types.ModuleType:
    """What promptbench asks of it."""
    found = types.ModuleType("psutil")
    memory = types.SimpleNamespace(peak_wset=2**30)
    found.__dict__.update(
        pid_exists=lambda pid: Path(f"/proc/{pid}").exists(),
        Process=lambda: types.SimpleNamespace(memory_info=lambda: memory),
        virtual_memory=lambda: types.SimpleNamespace(available=2**34),
    )
    return found


def take_away() -> None:
    """From now on modules of promptbench import what Windows has."""
    instead = {
        "os": without(os, NOT_IN_OS, name="nt", supports_fd=frozenset(), kill=_kill),
        "signal": without(signal, NOT_IN_SIGNAL),
        "sys": without(sys, (), platform="win32"),
    }
    real = builtins.__import__

    def imported(name: str, globals: Any = None, *rest: Any, **more: Any) -> Any:
        asks = str((globals or {}).get("__name__", ""))
        if asks == "promptbench" or asks.startswith("promptbench."):
            if name in ABSENT:
                raise ModuleNotFoundError(f"No module named {name!r} on Windows", name=name)
            if name in instead:
                return instead[name]
        return real(name, globals, *rest, **more)

    builtins.__import__ = imported
    sys.modules["psutil"] = psutil()


def import_all() -> list[str]:
    """Import each module of the package; those that cannot be, with the reason."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    failed = []
    for package in project["tool"]["setuptools"]["packages"]:
        for each in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if each.name == "__main__":
                continue
            try:
                importlib.import_module(f"{package}.{each.name}")
            except ImportError as error:
                failed.append(f"{package}.{each.name}: {error}")
    return failed


if __name__ == "__main__":
    assert "promptbench" not in sys.modules
    take_away()
    if sys.argv[1:] == ["import"]:
        print("\n".join(import_all()))
    else:
        from promptbench.cli import main

        for words in " ".join(sys.argv[1:]).split(f" {THEN} "):
            try:
                main(words.split(" "), prog_name="promptbench")
            except SystemExit as ended:
                if ended.code:
                    raise
