"""Configuration through gin: files in order, bindings, and the checks that gin leaves out.

gin ignores misspelt scopes, does not look at types, and keeps its state between runs. Here every
statement of every file and binding is checked first, with file and line: its configurable and
parameter must exist, its scope must be a known protocol, suite or protocol/source, and its value
must be plain (no @reference, no %macro) and fit the parameter's annotation. `configured` then loads
the same statements into gin, for the length of a `with` block.

Scopes nest: `base_to_new/...` holds for a protocol, `base_to_new/eurosat/...` for one source of it.
Preset "paper" enters protocol and source, "unified" the protocol alone. Targets have no scope.
"""

from __future__ import annotations

import inspect
import io
import math
import re
import tokenize
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import gin
from gin import config as gin_config
from gin import config_parser
from pydantic import TypeAdapter, ValidationError

from promptbench.errors import UserError, near_miss
from promptbench.safe_text import shortened
from promptbench.storage import reading

_HARNESS_PARAMETERS = {"self", "towers", "classes"}  # passed by the harness, never by gin

_NO_VALUE = re.compile(r"malformed node.*Failed to parse token ('[^\n]*')", re.DOTALL)
# What gin's parser raises; a TypeError is a list as a key, a RecursionError brackets without end.
_UNPARSABLE = (ValueError, SyntaxError, tokenize.TokenError, TypeError, RecursionError)
_MOST_BYTES = 4 * 2**20  # of a file


@dataclass(frozen=True)
class ConfigSources:
    """What a configuration is made of, later entries winning.

    `files` are gin files; `overrides` are bindings from --set: without a scope they hold wherever
    the run goes, so they win over every scoped line of the files.
    """

    files: tuple[Path, ...]
    overrides: tuple[str, ...] = ()


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
                f"unknown scope {scope!r}: {rest!r} is no data set; "
                f"{near_miss(rest, self.datasets)}"
            )
        return None


class _PlainValues(config_parser.ParserDelegate):  # type: ignore[misc]  # gin has no types
    """Refuses what stands for another value: the record of a cell holds plain ones."""

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> NoReturn:
        raise SyntaxError(self._told(f"@{scoped_configurable_name}", "a reference"))

    def macro(self, scoped_name: str) -> NoReturn:
        raise SyntaxError(self._told(f"%{scoped_name}", "a macro"))

    @staticmethod
    def _told(name: str, kind: str) -> str:
        return f"{name} is {kind} of gin, which is not used here; write the value itself"


def can_be_scope(name: str) -> bool:
    """Whether gin can name a part of a scope: one that begins with a digit it cannot."""
    return config_parser.IDENTIFIER_RE.match(name) is not None


def parameters(configurable: type) -> dict[str, inspect.Parameter]:
    """What gin may set of a class: its constructor's parameters, through **kwargs to its bases."""
    found: dict[str, inspect.Parameter] = {}
    for cls in configurable.__mro__:
        if "__init__" not in vars(cls):
            continue
        signature = inspect.signature(vars(cls)["__init__"], eval_str=True)
        passes_on = False
        for parameter in signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                passes_on = True
            elif parameter.name not in _HARNESS_PARAMETERS:
                found.setdefault(parameter.name, parameter)
        if not passes_on:
            break
    return found


def effective(configurable: type, scope: str) -> dict[str, Any]:
    """All parameters of a class with their values in `scope` of the current configuration."""
    values = {n: p.default for n, p in parameters(configurable).items()}
    selector = gin_config._REGISTRY.get_match(configurable.__name__).selector
    parts = scope.split("/") if scope else []
    for depth in range(len(parts) + 1):
        bound = gin_config._CONFIG.get(("/".join(parts[:depth]), selector), {})
        values.update(bound)
    for name, value in values.items():
        if value is inspect.Parameter.empty:
            full = f"{configurable.__name__}.{name}"
            raise UserError(
                f"{full} has neither a default nor a binding; set it in the method's gin file or "
                f'with --set "{full}=..."'
            )
    return values


@contextmanager
def unscoped(values: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Run a block under exactly these values, class by class, bound without any scope.

    What is constructed inside cannot read from gin for which protocol or data set they were meant.
    """
    gin.clear_config()
    try:
        for cls, parameters_ in values.items():
            for name, value in parameters_.items():
                gin.bind_parameter(f"{cls}.{name}", value)
        gin.finalize()
        yield
    finally:
        gin.clear_config()


@contextmanager
def configured(sources: ConfigSources, known: KnownNames, scope: str) -> Iterator[None]:
    """Run a block under a checked, locked configuration with `scope` active.

    Raises:
        UserError: the first statement that is wrong, with file and line.
    """
    gin.clear_config()
    try:
        for path in sources.files:
            _load(_read(path), str(path), known)
        for override in sources.overrides:
            _load(override, "--set", known)
            if "/" not in override.partition("=")[0]:
                _load(f"{scope}/{override}" if scope else override, "--set", None)
        gin.finalize()
        with gin.config_scope(scope or None):
            yield
    finally:
        gin.clear_config()


def _read(path: Path) -> str:
    return reading.read_text(path, _MOST_BYTES, "the configuration")


def _load(text: str, name: str, known: KnownNames | None) -> None:
    if known is not None:
        for statement in _statements(text, name):
            _check(statement, name, known)
    try:
        gin.parse_config(text)
    except _UNPARSABLE as error:
        raise UserError(f"{name}: {_first_line(error)}") from error


def _no_value(error: Exception) -> str | None:
    """What is to be said of a word where a value belongs; None of other errors."""
    token = _NO_VALUE.search(str(error))
    return token and f"{token[1]} is no value (a number, True, False, None, or text in quotes)"


def _first_line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = error.args[0] if isinstance(error, tokenize.TokenError) else error
    return shortened(str(said).strip().splitlines()[0], 200)


def _statements(text: str, name: str) -> Iterable[Any]:
    source = io.StringIO(text)
    source.name = name  # gin reads the name for its locations
    parser = None
    try:
        with gin_config._parse_scope():
            parser = config_parser.ConfigParser(source, _PlainValues())
            yield from parser
    except _UNPARSABLE as error:
        line = getattr(error, "lineno", None) or (parser and parser._current_token.start[0])
        where = f"{name}, line {line}" if line and name != "--set" else name
        message = _no_value(error) or (
            shortened(error.msg, 200) if isinstance(error, SyntaxError) else _first_line(error)
        )
        shown = f" in {shortened(text)!r}" if name == "--set" else ""
        raise UserError(f"{where}: cannot be parsed{shown}: {message}") from error


def _check(statement: Any, name: str, known: KnownNames) -> None:
    """Refuse a binding whose scope, configurable, parameter or type is wrong."""
    if isinstance(statement, config_parser.IncludeStatement | config_parser.ImportStatement):
        raise UserError(f"{name}: include and import are not used here; pass files with --gin")
    if not isinstance(statement, config_parser.BindingStatement):
        return
    where = name if name == "--set" else f"{name}, line {statement.location.line_num}"
    if not statement.arg_name:
        raise UserError(
            f"{where}: {statement.selector} = ... defines a macro of gin, which is not used here; "
            "write Name.parameter = value"
        )
    problem = known.scope_error(statement.scope)
    if problem:
        raise UserError(f"{where}: {problem}")
    short = statement.selector.rpartition(".")[2]
    if short not in known.configurables:
        raise UserError(
            f"{where}: nothing in this run is called {short!r}; "
            f"{near_miss(short, known.configurables)}"
        )
    _check_value(where, known.configurables[short], statement)


def _check_value(where: str, configurable: type, statement: Any) -> None:
    allowed = parameters(configurable)
    argument, name = statement.arg_name, configurable.__name__
    if argument not in allowed:
        raise UserError(
            f"{where}: {name} has no parameter {argument!r}; {near_miss(argument, allowed)}"
        )
    annotation = allowed[argument].annotation
    value = statement.value
    if annotation is not inspect.Parameter.empty:
        try:
            TypeAdapter(annotation).validate_python(value, strict=not _is_tuple(annotation))
        except ValidationError as error:
            reason, shown = error.errors()[0]["msg"], shortened(repr(value))
            raise UserError(
                f"{where}: {name}.{argument} = {shown} does not fit {_spelt(annotation)}: {reason}"
            ) from error
    _refuse_unbounded(value, f"{where}: {name}.{argument}")


def _refuse_unbounded(value: Any, where: str) -> None:
    """Refuse numbers that a record could not hold: JSON has none that are not finite."""
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    if isinstance(parts, list | tuple):
        for part in parts:
            _refuse_unbounded(part, where)
    elif isinstance(value, int | float):
        fits = math.isfinite(value) if isinstance(value, float) else abs(value) <= reading.LARGEST
        if not fits:
            shown = shortened(repr(value))
            raise UserError(f"{where} must be finite and fit 64 bits, not {shown}")


def _is_tuple(annotation: Any) -> bool:
    return typing.get_origin(annotation) is tuple  # gin writes tuples as lists, too


def _spelt(annotation: Any) -> str:
    """A type without its range, which the reason tells."""
    plain = typing.get_type_hints(SimpleNamespace(__annotations__={"value": annotation}))["value"]
    named = isinstance(plain, type) and not typing.get_args(plain)
    return plain.__name__ if named else re.sub(r"\b(typing|collections\.abc)\.", "", str(plain))
