"""What the process that a command runs in may do to it: too little memory, warnings as errors."""

from __future__ import annotations

import errno
import re
import warnings
from collections.abc import Callable
from typing import Any, TextIO

from promptbench.support.compat import MISMATCH

_ENOUGH = 2 * 2**30  # of address space: torch's libraries, a tiny CLIP and its threads
# What is said of memory by errors that are not MemoryError: of the loader, torch and threads.
_SAID = (
    "failed to map segment",
    "cannot allocate memory",
    "can't allocate memory",
    "can't start new thread",
    "std::bad_alloc",
)


def memory_limit() -> int | None:
    """Bytes of address space that this process may have (ulimit -v); None without a limit."""
    try:
        import resource
    except ImportError:  # not on this system
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def tight_memory() -> str | None:
    """What to say before anything is loaded that ends the process without a word; else None."""
    limit = memory_limit()
    if limit is None or limit >= _ENOUGH:
        return None
    return (
        f"this shell limits the address space to {limit // 2**20} MiB (ulimit -v); promptbench "
        f"needs about {_ENOUGH // 2**20} MiB, and may end in the middle of something"
    )


def lacks_memory(error: BaseException) -> bool:
    """Whether an error means that the machine's memory, or this process's share, is used up."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if isinstance(error, ImportError | OSError | RuntimeError):
        return any(words in str(error).lower() for words in _SAID)
    limit = memory_limit()  # an extension that could not allocate may not even say that
    return isinstance(error, SystemError) and limit is not None and limit < _ENOUGH


def only_show_warnings() -> None:
    """Show warnings that PYTHONWARNINGS or -W would turn into errors.

    Those are for testing code of one's own: here they would end a run of hours because of a
    deprecation in some library.
    """
    kept: list[Any] = list(warnings.filters)
    if not any(action == "error" for action, *_ in kept):
        return
    warnings.resetwarnings()
    for action, message, category, module, line in reversed(kept):
        shown: Any = "default" if action == "error" else action
        warnings.filterwarnings(shown, _pattern(message), category, _pattern(module), line)


def _pattern(matched: Any) -> str:
    """The regular expression of a filter, which is compiled, text or None for anything."""
    return str(getattr(matched, "pattern", matched or ""))


def tell_warnings(tell: Callable[[str], None]) -> None:
    """Tell warnings of this process, as notes, instead of printing them.

    For one whose parent shows them, and has shown what every process says of torchvision.
    """

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        tell(f"note: {message}")

    warnings.filterwarnings("ignore", message=re.escape(MISMATCH))
    warnings.showwarning = show
