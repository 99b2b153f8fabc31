"""Modules that others import for what a run rarely calls, imported at the first call.

open_clip imports timm for backbones that CLIP's own towers are not, and timm imports experiment
trackers; torchvision imports torch's compiler for one question that its pooling of boxes asks.
Together that is more processor time than torch's own import, and about 110 MB.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class Later:
    """A function or class of a module that is imported when it is called or looked into."""

    def __init__(self, module: str, name: str) -> None:
        self.__qualname__, self._module, self._name = name, module, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # whoever asks what kind of thing this is gets no import for it
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)


class _LaterModule(ModuleType):
    """A module whose every name is a `Later`."""

    def __getattr__(self, name: str) -> Later:
        if name.startswith("__"):
            raise AttributeError(name)
        return Later(self.__name__, name)


@contextmanager
def called_later(*names: str, by: tuple[str, ...]) -> Iterator[None]:
    """Inside the block, what packages import from these modules is a `Later` each.

    For the import of packages that only call them. Nobody else sees a stand-in, whichever thread
    imports meanwhile: statements of other modules import as usual, and `sys.modules` holds real
    modules only, as whoever asks there for a module (transformers looks for timm) expects. Modules
    that are imported already, and those that are not installed, are as usual.

    Args:
        names: with those of the packages that they are in.
        by: the packages whose import statements are meant.
    """
    stand_ins = {name: _LaterModule(name) for name in names if _is_to_come(name)}
    usual, is_over = builtins.__import__, False

    def imported(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        importer = str((globals or {}).get("__name__")).partition(".")[0]
        if importer in by and level == 0 and (fromlist or "." not in name) and not is_over:
            found = stand_ins.get(name)
            if found is not None and name not in sys.modules:
                return found
        return usual(name, globals, locals, fromlist or (), level)

    builtins.__import__ = imported
    try:
        yield
    finally:
        is_over = True
        if builtins.__import__ is imported:  # else another thread's, which goes on to call this one
            builtins.__import__ = usual


def _is_to_come(name: str) -> bool:
    """Whether a module is not imported, and the package that it is in is there; nothing is imported
    to find out."""
    if name in sys.modules:
        return False
    try:
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    except ValueError:  # somebody's stand-in for the package
        return False
