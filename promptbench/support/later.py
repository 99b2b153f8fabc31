"""Modules that others import for what a run rarely calls, imported at the first call.

open_clip imports timm for backbones that CLIP's own towers are not, and timm imports experiment
trackers; torchvision imports torch's compiler for one question that its pooling of boxes asks.
Together that is more processor time than torch's own import, and about 110 MB.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
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
def called_later(*names: str) -> Iterator[None]:
    """Inside the block, what is imported from these modules is a `Later` each.

    For the import of a module that only calls them, and not while it is imported itself. Modules
    that are imported already, and those that are not installed, are as usual.

    Args:
        names: with those of the packages that they are in.
    """
    absent = [name for name in names if name not in sys.modules and _is_installed(name)]
    stand_ins = {name: _LaterModule(name) for name in absent}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _is_installed(name: str) -> bool:
    """Whether the package that a module is in is there; nothing is imported to find out."""
    return importlib.util.find_spec(name.partition(".")[0]) is not None
