"""What a method looks at while it is checked: everything that a run refuses, and more.

Audit events are noted as in a run (`promptbench.isolation.audit`). Besides, while the check lasts:
the environment notes who reads it; new threads, lists of threads and signal handlers are noted; and
afterwards the core's own modules and torch's are looked through for functions that are the
method's.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from types import FunctionType
from typing import Any

from promptbench.isolation import audit
from promptbench.isolation.asking import Asker
from promptbench.isolation.audit import Rule, Watch, look, path_of

_CODE = (".py", ".pyc", ".so", ".pyd", ".dll", ".dylib")
_CORE = str(Path(__file__).parent.parent) + os.sep
_PREFIXES = tuple(str(Path(p).resolve()) + os.sep for p in (sys.prefix, sys.base_prefix))
_OF_THE_MACHINE = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/lib")
_WATCHED_CALLS: Sequence[tuple[Any, str, str]] = (
    (threading, "enumerate", "other threads (threading.enumerate)"),
    (threading.Thread, "start", "other threads (it starts one of its own)"),
    (signal, "signal", "the call stack (it sets a signal handler, which is given frames)"),
)


@contextmanager
def spying(cls: type) -> Iterator[Watch]:
    """Note in a watch what the code of a method looks at while the block runs."""
    with ExitStack() as stack:
        watch = stack.enter_context(audit.watched(cls, RULES, refuses=False))
        stack.enter_context(_environment(watch))
        for owner, name, what in _WATCHED_CALLS:
            stack.enter_context(_replaced(owner, name, what, watch))
        yield watch
    watch.found += [f"what it may not change: {name}" for name in patches(watch.files)]


def patches(files: tuple[str, ...]) -> list[str]:
    """Names in the core and torch under which functions of a method's own files stand."""
    modules = [
        module
        for name, module in sys.modules.items()
        if f"{name}.".startswith("promptbench.") and not name.startswith("promptbench.methods")
    ]
    torch = [sys.modules[n] for n in ("torch", "torch.nn.functional", "torch.autograd", "builtins")]
    found = []
    for module in [*modules, *torch]:
        if module is None or str(getattr(module, "__file__", "")).startswith(files):
            continue
        for name, value in [*vars(module).items()]:
            whole = f"{module.__name__}.{name}"
            found += [whole] * _is_of(value, files)
            if isinstance(value, type) and value.__module__ == module.__name__:
                found += [f"{whole}.{n}" for n, v in [*vars(value).items()] if _is_of(v, files)]
    tensors = sys.modules["torch"].Tensor, sys.modules["torch"].nn.Module
    for cls in tensors:
        found += [f"torch.{cls.__name__}.{n}" for n, v in [*vars(cls).items()] if _is_of(v, files)]
    return list(dict.fromkeys(found))


def _is_of(value: object, files: tuple[str, ...]) -> bool:
    function = getattr(value, "fget", None) or getattr(value, "__func__", value)
    return isinstance(function, FunctionType) and os.path.realpath(
        function.__code__.co_filename
    ).startswith(files)


def _opens(arguments: Sequence[Any], asker: Asker) -> str | None:
    if isinstance(arguments[0], int) or not asker.is_behind():
        return None
    path = os.path.realpath(path_of(arguments[0]))
    if audit.is_telling(path):
        return f"a file of data or results ({path})"
    if path.endswith(_CODE) or _is_beside(path, asker.files) or asker.is_import():
        return None
    if path in map(os.path.realpath, sys.path):
        return None  # where installed packages are looked for
    if path.startswith(_PREFIXES) and not path.startswith(_CORE):
        return None
    if path.startswith(_OF_THE_MACHINE) and not asker.is_own():
        return None  # a library counts processors
    return f"a file that is not its own ({path})"


def _is_beside(path: str, files: tuple[str, ...]) -> bool:
    """Whether a file lies in the method's package, or beside its module."""
    return any(
        path.startswith(own) if own.endswith(os.sep) else Path(path).parent == Path(own).parent
        for own in files
    )


def _lists(arguments: Sequence[Any], asker: Asker) -> str | None:
    if isinstance(arguments[0], int) or asker.is_import() or not asker.is_own():
        return None
    path = os.path.realpath(path_of(arguments[0] or ".")) + os.sep
    return None if path.startswith((*asker.files, *_PREFIXES)) else f"the folder {path}"


def _direct(what: str) -> Rule:
    return lambda _, asker: what if asker.is_direct() else None


RULES: Mapping[str, Rule] = {
    **audit.SIGHT,
    "open": _opens,
    "os.listdir": _lists,
    "os.scandir": _lists,
    "glob.glob": lambda arguments, asker: (
        f"files by a pattern ({arguments[0]})" if asker.is_own() else None
    ),
    "exec": _direct("code that it makes at run time (exec)"),
    "subprocess.Popen": look("another program (subprocess)"),
    "os.system": look("another program (os.system)"),
    "os.posix_spawn": look("another program (os.posix_spawn)"),
    "os.fork": look("a copy of the process (os.fork)"),
    "socket.connect": look("the network (socket.connect)"),
    "socket.getaddrinfo": look("the network (socket.getaddrinfo)"),
}


@contextmanager
def _environment(watch: Watch) -> Iterator[None]:
    """Note who reads the environment while the block runs."""
    usual: Any = os.environ.__class__

    class Noting(usual):  # type: ignore[misc]  # the interpreter's own, which has no name
        def __getitem__(self, key: str) -> Any:
            _note(watch, f"the environment ({key})")
            return super().__getitem__(key)

        def __iter__(self) -> Any:
            _note(watch, "the environment (all of it)")
            return super().__iter__()

    environment: Any = os.environ
    environment.__class__ = Noting
    try:
        yield
    finally:
        environment.__class__ = usual


@contextmanager
def _replaced(owner: Any, name: str, what: str, watch: Watch) -> Iterator[None]:
    usual: Callable[..., Any] = getattr(owner, name)

    @wraps(usual)
    def noting(*arguments: Any, **named: Any) -> Any:
        _note(watch, what)
        return usual(*arguments, **named)

    setattr(owner, name, noting)
    try:
        yield
    finally:
        setattr(owner, name, usual)


def _note(watch: Watch, what: str) -> None:
    asker = Asker(watch.files, audit.caller(2))  # above the wrapper
    if asker.is_own():
        watch.note(what + asker.where())
