"""Every setting, from the classes that gin may bind and from their gin files."""

from __future__ import annotations

import inspect
import re
from collections import abc
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from promptbench import config
from promptbench.core.recipe import Recipe
from promptbench.core.registry import METHODS, PROTOCOLS, Plugin, Registry
from promptbench.planning.grids.grid import Grid

_ARGUMENT = re.compile(r"(?:^|(?<=[.\n]) ?) *((?:\w+, )*\w+): ", re.MULTILINE)


def settings() -> str:
    """Return the settings of trainings, grids, methods and protocols as Markdown."""
    parts = ["## Trainings: `Recipe`", _summary(Recipe), *_table(Recipe)]
    parts += ["## Grids: `Grid`", _summary(Grid), *_table(Grid)]
    parts += ["## Methods", *_plugins(METHODS), "## Protocols", *_plugins(PROTOCOLS)]
    return "\n\n".join(parts)


def described(cls: type) -> Mapping[str, str]:
    """Return what the docstrings of a class and its bases say of its parameters."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        for owner in (base, vars(base).get("__init__")):
            text = inspect.cleandoc(getattr(owner, "__doc__", None) or "")
            section = re.search(r"Args:\s*(.*?)(?=\n\w+:|\Z)", text, re.DOTALL)
            pieces = _ARGUMENT.split(section[1])[1:] if section else []
            for names, said in zip(pieces[::2], pieces[1::2], strict=True):
                for name in names.split(", "):
                    found.setdefault(name, " ".join(said.split()))
    return found


def _plugins(registry: Registry[Any]) -> Iterator[str]:
    for name in registry.names():
        plugin = registry.load(name)
        yield f"### `{name}`: {plugin.cls.title}"
        yield from _table(plugin.cls)
        yield from _gin(plugin)


def _gin(plugin: Plugin[Any]) -> Iterator[str]:
    if plugin.gin_file:
        text = plugin.gin_file.read_text(encoding="utf-8").rstrip().replace("\n", "\n    ")
        yield f'??? note "What `{plugin.gin_file.name}` sets"\n\n    ```python\n    {text}\n    ```'


def _table(cls: type) -> Iterator[str]:
    said, rows = described(cls), config.parameters(cls)
    if not rows:
        yield "No settings of its own."
        return
    lines = ["| setting | default | values and meaning |", "|---|---|---|"]
    for name, parameter in rows.items():
        default = "" if parameter.default is parameter.empty else f"`{parameter.default!r}`"
        meaning = "; ".join(filter(None, (_type(parameter.annotation), said.get(name))))
        lines.append(f"| `{cls.__name__}.{name}` | {default} | {meaning} |")
    yield "\n".join(lines)


def _type(annotation: Any) -> str:
    """Return an annotation in words, with the limits that its values are checked for."""
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        limits = " and ".join(filter(None, map(_limit, inner[1:])))
        return f"{_type(inner[0])} {limits}".strip()
    if kind in (Union, UnionType):
        return " or ".join(_type(choice) for choice in inner)
    if kind is Literal:
        return " or ".join(f"`{choice!r}`" for choice in inner)
    if kind is dict:
        return f"{{{_type(inner[0])}: {_type(inner[1])}}}"
    if kind in (tuple, list, abc.Sequence) and len(set(inner) - {...}) == 1:
        number = f"{len(inner)}" if kind is tuple and ... not in inner else "any number"
        return f"{number} of: {_type(inner[0])}"
    if annotation is type(None):
        return "`None`"
    if kind is None and isinstance(annotation, type):
        return annotation.__name__
    return f"`{re.sub(r'[a-z_]+[.](?=[A-Za-z])', '', str(annotation))}`"


def _limit(check: Any) -> str:
    """Return a limit of pydantic's `Field` in words."""
    bounds = [part for part in getattr(check, "metadata", ()) if part is not None]
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    return " ".join(
        f"{words[name]} {getattr(bound, name)}"
        for bound in (check, *bounds)
        for name in words
        if hasattr(bound, name)
    )


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]
