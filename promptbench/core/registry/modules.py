"""Modules of plugins: importing one from a file, and what is to be said when that fails."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType


def with_place(error: Exception) -> str:
    """What an error says, with file and line; a syntax error names its own."""
    if isinstance(error, SyntaxError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{error} ({Path(where.filename).name}, line {where.lineno})"


def digest(path: Path) -> str:
    """Return the twelve digits of a file's hash that name its module and its provider."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def of_file(name: str, path: Path) -> ModuleType:
    """Import a file under a module name; what it raises is passed on, and leaves no module."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a .py file has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and gin look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:  # also an interrupt must leave no half-made module to be found
        del sys.modules[name]
        raise
    return module
