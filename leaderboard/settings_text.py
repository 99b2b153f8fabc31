"""The operative gin text of a record, read as data and compared with the record's settings."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NoReturn

from gin import config_parser

from promptbench.leaderboard import known
from promptbench.records import Record

_UNREADABLE = (ValueError, SyntaxError, RecursionError, MemoryError)


class _NoReferences(config_parser.ParserDelegate):  # type: ignore[misc]  # gin has no types
    """Refuses what is not a literal: nothing of a stranger's text is looked up."""

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> NoReturn:
        raise ValueError(f"@{scoped_configurable_name} is not a literal")

    def macro(self, macro_name: str) -> NoReturn:
        raise ValueError(f"%{macro_name} is not a literal")


def reasons(record: Record) -> Iterator[str]:
    """Values of the text that are not the record's, and values that one of them lacks.

    The recipe of a cell without gradient steps is nobody's; the class of a method that is not
    installed has a name that is not known here.
    """
    try:
        bound = literals(record.config)
    except _UNREADABLE as error:
        said = str(error).strip() or type(error).__name__
        yield f"the config text cannot be read: {said.splitlines()[0][:200]}"
        return
    expected = {}
    if record.training.epochs:
        expected["Recipe"] = record.training.recipe
    name = record.method.name
    if name in known.method_names() and known.method(name).provider == record.method.provider:
        expected[known.method(name).cls.__name__] = record.method.parameters
    for cls, values in expected.items():
        yield from _differences(cls, bound.get(cls, {}), values)


def literals(text: str) -> dict[str, dict[str, Any]]:
    """The values that a gin text binds, by class.

    Raises:
        ValueError, SyntaxError, RecursionError, MemoryError: a text that is more than bindings of
            literals without a scope.
    """
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for statement in config_parser.ConfigParser(io.StringIO(text), _NoReferences()):
        if not isinstance(statement, config_parser.BindingStatement) or statement.scope:
            raise ValueError("more than bindings without a scope")
        found[statement.selector][statement.arg_name] = statement.value
    return dict(found)


def _differences(cls: str, told: dict[str, Any], values: dict[str, Any]) -> Iterator[str]:
    for key in sorted(told.keys() | values.keys()):
        there, here = (_shown(each, key) for each in (told, values))
        if there != here:
            yield f"the config text has {there} for {cls}.{key}, the record has {here}"


def _shown(values: dict[str, Any], key: str) -> str:
    """A value in the spelling of JSON, which knows no tuples."""
    return json.dumps(values[key], default=str, sort_keys=True) if key in values else "nothing"
