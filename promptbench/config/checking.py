"""What bindings may name, and which values fit: what gin itself does not look at.

The class and parameter of a binding must exist, its scope must be a known protocol, suite or
protocol/source, and its value must fit the parameter's annotation.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from promptbench.config.parsing import Binding
from promptbench.errors import UserError, near_miss
from promptbench.storage import reading
from promptbench.support.safe_text import shortened

_HARNESS_PARAMETERS = {"self", "towers", "classes"}  # passed by the harness, never by gin


@dataclass(frozen=True)
class KnownNames:
    """What configurations may name: configurable classes by name, and scopes."""

    configurables: Mapping[str, type]
    protocols: frozenset[str]
    datasets: frozenset[str]
    suites: frozenset[str]

    def scope_error(self, scope: str) -> str | None:
        """What is wrong with a scope, None if it is known."""
        first, _, rest = scope.partition("/")
        if not scope or (scope in self.suites):
            return None
        if first not in self.protocols:
            known = near_miss(first, self.protocols | self.suites)
            return f"unknown scope {scope!r}: {first!r} is neither protocol nor suite; {known}"
        if rest and rest not in self.datasets:
            return (
                f"unknown scope {scope!r}: {rest!r} is not a dataset; "
                f"{near_miss(rest, self.datasets)}"
            )
        return None


def parameters(configurable: type) -> Mapping[str, inspect.Parameter]:
    """What gin may set of a class: its constructor's parameters, through **kwargs to its bases."""
    return _parameters(configurable)


@functools.lru_cache(maxsize=512)
def _parameters(configurable: type) -> Mapping[str, inspect.Parameter]:
    found: dict[str, inspect.Parameter] = {}
    for cls in configurable.__mro__:
        if "__init__" not in vars(cls):
            continue
        signature = inspect.signature(vars(cls)["__init__"], eval_str=True)
        passes_on = False
        for parameter in signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                passes_on = True
            elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                continue
            elif parameter.name not in _HARNESS_PARAMETERS:
                found.setdefault(parameter.name, parameter)
        if not passes_on:
            break
    return MappingProxyType(found)


def check(binding: Binding, known: KnownNames) -> None:
    """Refuse a binding whose scope, class, parameter or value is wrong.

    Raises:
        UserError: what is wrong, with file and line and the nearest name.
    """
    where, name = binding.where, binding.cls
    problem = known.scope_error(binding.scope)
    if problem:
        raise UserError(f"{where}: {problem}")
    cls = known.configurables.get(name)
    if cls is None or not f".{cls.__module__}".endswith(f".{binding.module}".rstrip(".")):
        full = f"{binding.module}.{name}" if cls else name
        raise UserError(
            f"{where}: nothing in this run is called {full!r}; "
            f"{near_miss(name, known.configurables)}"
        )
    allowed = parameters(cls)
    if binding.parameter not in allowed:
        raise UserError(
            f"{where}: {name} has no parameter {binding.parameter!r}; "
            f"{near_miss(binding.parameter, allowed)}"
        )
    _check_value(binding, cls)


def _check_value(binding: Binding, cls: type) -> None:
    named, value = f"{binding.where}: {binding.cls}.{binding.parameter}", binding.value
    annotation = parameters(cls)[binding.parameter].annotation
    if annotation is not inspect.Parameter.empty:
        try:
            _adapter(cls, binding.parameter).validate_python(
                value, strict=not _is_tuple(annotation)
            )
        except ValidationError as error:
            reason, shown = error.errors()[0]["msg"], shortened(repr(value))
            raise UserError(f"{named} = {shown} does not fit {_spelt(annotation)}: {reason}") from (
                error
            )
    _refuse_unbounded(value, named)


@functools.lru_cache(maxsize=2048)
def _adapter(cls: type, parameter: str) -> TypeAdapter[Any]:
    return TypeAdapter(parameters(cls)[parameter].annotation)


def _refuse_unbounded(value: Any, named: str) -> None:
    """Refuse numbers that a record could not hold: JSON has none that are not finite."""
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    if isinstance(parts, list | tuple):
        for part in parts:
            _refuse_unbounded(part, named)
    elif isinstance(value, int | float):
        fits = math.isfinite(value) if isinstance(value, float) else abs(value) <= reading.LARGEST
        if not fits:
            shown = shortened(repr(value))
            raise UserError(f"{named} must be finite and fit 64 bits, not {shown}")


def _is_tuple(annotation: Any) -> bool:
    return typing.get_origin(annotation) is tuple  # gin writes tuples as lists, too


def _spelt(annotation: Any) -> str:
    """A type without its range, which the reason gives."""
    plain = typing.get_type_hints(SimpleNamespace(__annotations__={"value": annotation}))["value"]
    named = isinstance(plain, type) and not typing.get_args(plain)
    return plain.__name__ if named else re.sub(r"\b(typing|collections\.abc)\.", "", str(plain))
