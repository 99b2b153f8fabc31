"""Hashes of the code that makes results, which hang on no path, machine or line ending.

They are of the code as a process has loaded it: each is computed once, when it is first asked for.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

from promptbench.support import version

_METHODS = "promptbench.methods"
# What decides which parameters a training ends in, beside the method itself.
_TRAINS = (
    *("core", "support/compat.py", "support/seeding.py", "isolation", "models", "data"),
    *("running/lab", "running/training"),
)


@functools.cache
def of_method(module: str, gin_file: Path | None) -> str | None:
    """The hash of a method: its module, its gin file, and the modules that it imports, and these
    in turn, of `promptbench.methods` and of its own package or folder.

    Names of modules count, their places do not. None if a source cannot be had, such as that of a
    plugin that is installed without.
    """
    texts: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in texts:
            continue
        known = _module(name)
        if known is None:
            return None
        texts[name], imports = known
        waiting += [found for found in imports if _belongs(found, module)]
    texts["the method"] = texts.pop(module)  # the name of a plugin's file holds a hash
    if gin_file is not None:
        texts["its gin file"] = _plain(gin_file.read_bytes())
    return _digest(texts)


@functools.cache
def of_training() -> str:
    """The hash of promptbench's own sources that take part in training."""
    root = version.PACKAGE
    places = [root / name for name in _TRAINS]
    files = [f for place in places for f in ([place] if place.is_file() else place.rglob("*.py"))]
    return _digest({f.relative_to(root).as_posix(): _plain(f.read_bytes()) for f in files})


@functools.cache
def of_files(names: tuple[str, ...]) -> str:
    """The hash of some of promptbench's own sources, by their paths in the package."""
    return _digest({name: _plain((version.PACKAGE / name).read_bytes()) for name in names})


@functools.cache
def of_package() -> str:
    """The hash of all of promptbench's own sources: Python, and the settings beside it."""
    root = version.PACKAGE
    files = [p for end in ("py", "gin", "toml") for p in root.rglob(f"*.{end}")]
    return _digest({f.relative_to(root).as_posix(): _plain(f.read_bytes()) for f in files})


@functools.cache
def _module(name: str) -> tuple[str, frozenset[str]] | None:
    """The source of a module and what it imports; None if it cannot be had."""
    text = _source(name)
    try:
        return None if text is None else (text, frozenset(_imported(name, text)))
    except (SyntaxError, ImportError):  # not the text that was loaded
        return None


def _imported(name: str, text: str) -> Iterator[str]:
    """What a module may import, anywhere in it, by full names; some are not modules."""
    spec = _spec(name)
    package = (spec.parent if spec is not None else None) or ""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = "." * node.level
            base = importlib.util.resolve_name(dots + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _belongs(name: str, module: str) -> bool:
    """Whether a name is a module that counts as a part of the method in `module`."""
    family = _METHODS, module.rpartition(".")[0]
    if any(of and (name == of or name.startswith(f"{of}.")) for of in family):
        return _spec(name) is not None
    own, other = _spec(module), _spec(name) if "." not in name else None
    if own is None or other is None or not own.origin or not other.origin:
        return False
    return Path(other.origin).parent == Path(own.origin).parent


def _spec(name: str) -> ModuleSpec | None:
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded.__spec__
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # its parent is not a package
        return None


def _source(name: str) -> str | None:
    """The text of a module's source; an empty one for a package without `__init__`."""
    spec = _spec(name)
    if spec is None or spec.loader is None:
        return "" if spec is not None else None
    read = getattr(spec.loader, "get_source", None)
    try:
        text = read(spec.name) if read is not None else None
    except (ImportError, OSError):
        return None
    return None if text is None else _plain(text.encode())


def _plain(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


def _digest(texts: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()
