"""What the class of a built-in plugin states of itself, read from its source without importing it.

The modules of methods import torch, which takes longer than most tables. What stands in a class as
a literal (a title, a number of parameters) is read from the text instead: classes are put together
from it with their bases and literals only, so that Python's own rules say which base's value holds.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_OWN = "promptbench."  # bases of other packages state nothing that is asked for
_UNREAD = object()  # a value that is not a literal


class UnreadError(Exception):
    """Something that the text of a module does not say in so many words."""


def stated(module: str, what: str) -> Any:
    """The value of an attribute of the one class with a title that a module defines.

    Raises:
        UnreadError: the text does not say it.
    """
    found = [
        made for name in _texts(module)[0] if hasattr(made := _skeleton(module, name), "title")
    ]
    value = getattr(found[0], what, _UNREAD) if len(found) == 1 else _UNREAD
    if value is _UNREAD:
        raise UnreadError(f"{module} does not state {what}")
    return value


def text_of(module: str) -> str:
    """The docstring of a module, cleaned as `inspect.getdoc` does; "" without one.

    Raises:
        UnreadError: it has no source to read.
    """
    return ast.get_docstring(_parsed(module)) or ""


@functools.cache
def _skeleton(module: str, name: str) -> type:
    """A class with the bases and literals of the one of this name, and nothing else."""
    classes, imports = _texts(module)
    if name not in classes and name in imports:  # handed on, as by `promptbench.api`
        return _skeleton(*imports[name])
    if name not in classes:
        raise UnreadError(f"{module} does not define {name}")
    bases = [base for node in classes[name].bases if (base := _base(module, node, imports))]
    return type(name, tuple(bases), dict(_literals(classes[name])))


def _base(module: str, node: ast.expr, imports: dict[str, tuple[str, str]]) -> type | None:
    """The skeleton of a base; None of one that is not promptbench's."""
    if not isinstance(node, ast.Name):
        return None
    if node.id in _texts(module)[0]:
        return _skeleton(module, node.id)
    home, name = imports.get(node.id, ("", ""))
    return _skeleton(home, name) if home.startswith(_OWN) else None


def _literals(node: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and each.value is not None:
            targets: list[ast.expr] = [each.target]
        elif isinstance(each, ast.Assign):
            targets = each.targets
        else:
            continue
        try:
            value = ast.literal_eval(each.value) if each.value is not None else None
        except ValueError:
            value = _UNREAD
        yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))


@functools.cache
def _texts(module: str) -> tuple[dict[str, ast.ClassDef], dict[str, tuple[str, str]]]:
    """The classes of a module, and where the names are from that it imports."""
    body = _parsed(module).body
    checked = [each for node in body if isinstance(node, ast.If) for each in node.body]
    imports = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in (*body, *checked)
        if isinstance(node, ast.ImportFrom) and not node.level
        for alias in node.names
    }
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}, imports


def _parsed(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        raise UnreadError(f"{module} has no source to read")
    return ast.parse(Path(spec.origin).read_bytes())
