"""Whose code asks: the frames of a look, read against the files of a method.

A call into a method is marked (`promptbench.isolation.entering`), so that inside it code of no
file, made at run time, is the method's as well.
"""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

_CORE = str(Path(__file__).parent.parent) + os.sep
_SHELVES = ("site-packages", "dist-packages")  # what installers call the folders of libraries


def _libraries(search: Iterable[str]) -> tuple[str, ...]:
    """Folders of libraries: the environment's own, and others that are searched for modules, such
    as the system's below an environment that sees them, or the user's."""
    own = [sysconfig.get_paths()[key] for key in ("purelib", "platlib")]
    others = [folder for folder in search if Path(folder).name in _SHELVES]
    return tuple(dict.fromkeys(f"{Path(each).resolve()}{os.sep}" for each in own + others))


_LIBRARIES = _libraries(sys.path)
_STDLIB = (
    "<frozen ",
    *(str(Path(sysconfig.get_paths()[k]).resolve()) + os.sep for k in ("stdlib", "platstdlib")),
)
# Of the standard library, what looks at a frame for its own ends and hands none out.
_DISCREET = frozenset(
    (
        *("logging", "warnings", "collections", "enum", "typing", "dataclasses", "functools"),
        *("contextlib", "abc", "importlib", "linecache", "types", "copyreg"),
    )
)
_IMPORT = "<frozen importlib"
_ENTERING = _CORE + "entering.py"
# Where a method's share of the stack ends: whoever calls promptbench may be its file as well.
_HARNESS = (
    _ENTERING,
    *(_CORE + name.replace("/", os.sep) for name in ("running/cell.py", "contract/examination.py")),
)


class ThreadState(threading.local):
    """Where a thread stands: in how many calls into a method, and whether in the audit hook."""

    entered = 0
    asking = False


state = ThreadState()


def code_of(cls: type) -> tuple[str, ...]:
    """Where the code of a method's class lies: files, and the folders of the packages it is from.

    The core and torch, from which it derives, are left out.
    """
    found: dict[str, None] = {}
    for base in cls.__mro__:
        file = getattr(sys.modules.get(base.__module__), "__file__", None)
        house = base.__module__.partition(".")[0]
        if not file or house in ("torch", "abc", "typing"):
            continue
        own_folder = house != "promptbench" and hasattr(sys.modules.get(house), "__path__")
        if own_folder:
            found |= dict.fromkeys(_real(p) + os.sep for p in sys.modules[house].__path__)
        elif house != "promptbench" or base.__module__.startswith("promptbench.methods."):
            found[_real(file)] = None
    return tuple(found)


class Asker:
    """Who asks: the frames from the one that asks on upwards, read against a method's files."""

    def __init__(self, files: tuple[str, ...], frame: FrameType | None) -> None:
        self.files, self._frame = files, frame

    def is_direct(self) -> bool:
        """Whether the code that asks lies in the method's files."""
        return self._frame is not None and self._owns(self._frame)

    def is_import(self) -> bool:
        """Whether an import asks, or what it runs of a library: all before the method's code."""
        for frame in self._upwards():
            if frame.f_code.co_filename.startswith(_IMPORT):
                return True
            if self._owns(frame):
                break
        return False

    def is_own(self) -> bool:
        """Whether the method asks, itself or through the standard library.

        Frames of the standard library ask for whoever called them, but for those that hand nothing
        on; other libraries and the core ask for themselves.
        """
        for frame in self._upwards():
            file = frame.f_code.co_filename
            if self._owns(frame):
                return True
            if file == _ENTERING:
                return state.entered > 0
            if file.startswith((*_LIBRARIES, _CORE)):
                return False
            if not file.startswith(_STDLIB):
                return state.entered > 0  # made at run time, or a file beside the method's own
            if _module(file) in _DISCREET:
                return False
        return False

    def is_behind(self) -> bool:
        """Whether the method asks, itself or through anything else that it calls."""
        unknown = False
        for frame in self._upwards():
            file = frame.f_code.co_filename
            if self._owns(frame):
                return True
            if file in _HARNESS:  # also where what the harness hands out reads for itself
                return unknown and state.entered > 0
            unknown |= not file.startswith((*_LIBRARIES, *_STDLIB, _CORE))
        return False

    def where(self) -> str:
        """The function of the method, and its line."""
        for frame in self._upwards():
            if self._owns(frame):
                code = frame.f_code
                name = Path(code.co_filename).name
                return f", in {code.co_name} ({name}, line {frame.f_lineno})"
        return ""

    def _owns(self, frame: FrameType) -> bool:
        return _real(frame.f_code.co_filename).startswith(self.files)

    def _upwards(self) -> Iterator[FrameType]:
        frame = self._frame
        while frame is not None:
            yield frame
            frame = frame.f_back


@functools.cache
def _real(file: str) -> str:
    return os.path.realpath(file)


def _module(file: str) -> str:
    """The top-level module that a file of the standard library belongs to."""
    if file.startswith("<frozen "):
        return file.removeprefix("<frozen ").rstrip(">").partition(".")[0]
    folder = next(folder for folder in _STDLIB if file.startswith(folder))
    return file.removeprefix(folder).partition(os.sep)[0].removesuffix(".py")
