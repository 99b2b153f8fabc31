"""The text of a gin file, or of --set, as bindings with their places. Values are plain ones."""

from __future__ import annotations

import functools
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gin import config_parser

from promptbench.errors import UserError
from promptbench.storage import reading
from promptbench.support.safe_text import shortened

COMMAND_LINE, SWEEP = "--set", "--sweep"  # the names of texts that do not come from a file
_OPTIONS = (COMMAND_LINE, SWEEP)

_NO_VALUE = re.compile(r"malformed node.*Failed to parse token ('[^\n]*')", re.DOTALL)
# What gin's parser raises; a TypeError is a list as a key, a RecursionError brackets without end.
_UNPARSABLE = (ValueError, SyntaxError, tokenize.TokenError, TypeError, RecursionError)
_MOST_BYTES = 4 * 2**20  # of a file


@dataclass(frozen=True)
class Binding:
    """`scope/cls.parameter = value`, and `where` it stands: file and line.

    `module` is what is before the name of the class, such as "promptbench.core.recipe", mostly "".
    The value is shared by all that read it: copy it before it is given away (`resolving.copied`).
    """

    scope: str
    module: str
    cls: str
    parameter: str
    value: Any
    where: str


def read(path: Path) -> tuple[Binding, ...]:
    """The bindings of a file, as it is now.

    Raises:
        UserError: a file that cannot be read or parsed, with file and line.
    """
    return _known(reading.read_text(path, _MOST_BYTES, "the configuration"), str(path))


def parse(text: str, name: str) -> tuple[Binding, ...]:
    """The bindings of a text; `name` is its file's, or the option it stands after.

    Raises:
        UserError: a text that is more than bindings of plain values, with its line.
    """
    return tuple(_binding(statement, name) for statement in _statements(text, name))


_known = functools.lru_cache(maxsize=256)(parse)  # by the text: a file that changed is parsed again


def can_be_scope(name: str) -> bool:
    """Whether gin can name a part of a scope: one that begins with a digit it cannot."""
    return config_parser.IDENTIFIER_RE.match(name) is not None


def is_literal(value: Any) -> bool:
    """Whether a value comes back from its own text: plain data, unlike nan, inf or an object."""
    try:
        return bool(config_parser.ConfigParser(repr(value), _PlainValues()).parse_value() == value)
    except _UNPARSABLE:
        return False


class _PlainValues(config_parser.ParserDelegate):  # type: ignore[misc]  # gin has no types
    """Refuses what stands for another value: the record of a cell holds plain ones."""

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> NoReturn:
        raise SyntaxError(self._told(f"@{scoped_configurable_name}", "a reference"))

    def macro(self, scoped_name: str) -> NoReturn:
        raise SyntaxError(self._told(f"%{scoped_name}", "a macro"))

    @staticmethod
    def _told(name: str, kind: str) -> str:
        return f"{name} is {kind} of gin, which is not used here; write the value itself"


def _statements(text: str, name: str) -> Iterator[Any]:
    """The statements of a text; those that declare a block are left out, their bindings follow."""
    source = io.StringIO(text)
    source.name = name  # gin reads the name for its locations
    parser = None
    try:
        parser = config_parser.ConfigParser(source, _PlainValues())
        for statement in parser:
            if not isinstance(statement, config_parser.BlockDeclaration):
                yield statement
    except _UNPARSABLE as error:
        line = getattr(error, "lineno", None) or (parser and parser._current_token.start[0])
        where = f"{name}, line {line}" if line and name not in _OPTIONS else name
        message = _no_value(error) or (
            shortened(error.msg, 200) if isinstance(error, SyntaxError) else _first_line(error)
        )
        shown = f" in {shortened(text)!r}" if name in _OPTIONS else ""
        raise UserError(f"{where}: cannot be parsed{shown}: {message}") from error


def _binding(statement: Any, name: str) -> Binding:
    if isinstance(statement, config_parser.IncludeStatement | config_parser.ImportStatement):
        raise UserError(f"{name}: include and import are not used here; pass files with --gin")
    where = name if name in _OPTIONS else f"{name}, line {statement.location.line_num}"
    if not statement.arg_name:
        raise UserError(
            f"{where}: {statement.selector} = ... defines a macro of gin, which is not used here; "
            "write Name.parameter = value"
        )
    module, _, cls = statement.selector.rpartition(".")
    return Binding(statement.scope, module, cls, statement.arg_name, statement.value, where)


def _no_value(error: Exception) -> str | None:
    """What is to be said of a word where a value belongs; None of other errors."""
    token = _NO_VALUE.search(str(error))
    return token and f"{token[1]} is not a value (a number, True, False, None, or text in quotes)"


def _first_line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = error.args[0] if isinstance(error, tokenize.TokenError) else error
    return shortened(str(said).strip().splitlines()[0], 200)
