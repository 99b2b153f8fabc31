"""The operative gin text of a record, read as data and compared with the record's settings."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from promptbench.config import parse
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known
from promptbench.records import Record


def reasons(record: Record) -> Iterator[str]:
    """Values of the text that are not the record's, and values that one of them lacks.

    The recipe of a cell without gradient steps is nobody's; the class of a method that is not
    installed has a name that is not known here.
    """
    expected = {}
    if record.training.epochs:
        expected["Recipe"] = record.training.recipe
    name = record.method.name
    if name in known.method_names() and known.method(name).provider == record.method.provider:
        expected[known.method(name).cls.__name__] = record.method.parameters
    yield from _against(record.config, json.dumps(expected, default=str))


@lru_cache(maxsize=256)  # all seeds of a row have one text, and the same settings
def _against(text: str, expected: str) -> list[str]:
    """What is wrong with a text beside settings by class, in JSON, which knows no tuples."""
    try:
        bound = literals(text)
    except (UserError, MemoryError) as error:
        said = str(error).strip() or type(error).__name__
        return [f"the config text cannot be read: {said.splitlines()[0][:200]}"]
    return [
        difference
        for cls, values in json.loads(expected).items()
        for difference in _differences(cls, bound.get(cls, {}), values)
    ]


@lru_cache(maxsize=256)  # all seeds of a row have one text
def literals(text: str) -> dict[str, dict[str, Any]]:
    """The values that a gin text binds, by class; not to be changed.

    Raises:
        UserError, MemoryError: a text that is more than bindings of literals without a scope.
    """
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for binding in parse(text, "config"):
        if binding.scope or binding.module:
            raise UserError(f"{binding.where}: more than Name.parameter = value")
        found[binding.cls][binding.parameter] = binding.value
    return dict(found)


def _differences(cls: str, said: dict[str, Any], values: dict[str, Any]) -> Iterator[str]:
    for key in sorted(said.keys() | values.keys()):
        there, here = (_shown(each, key) for each in (said, values))
        if there != here:
            yield f"the config text has {there} for {cls}.{key}, the record has {here}"


def _shown(values: dict[str, Any], key: str) -> str:
    """A value in the spelling of JSON, which knows no tuples."""
    return json.dumps(values[key], default=str, sort_keys=True) if key in values else "nothing"
