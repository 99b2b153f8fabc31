"""The values of a class in a scope, from the bindings of files and of --set."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptbench.config import parsing
from promptbench.config.checking import KnownNames, check, parameters
from promptbench.config.parsing import COMMAND_LINE, SWEEP, Binding
from promptbench.errors import UserError


@dataclass(frozen=True)
class ConfigSources:
    """What a configuration is made of, later entries winning.

    `files` are gin files; `overrides` are bindings from --set, and `swept` those of them that come
    from --sweep: without a scope they hold wherever the run goes, so they win over every scoped
    line of the files.
    """

    files: tuple[Path, ...]
    overrides: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()

    def option(self, override: str) -> str:
        """The option that an override stands after."""
        return SWEEP if override in self.swept else COMMAND_LINE


@dataclass(frozen=True)
class Bindings:
    """Checked bindings in the order in which they were read, files before overrides."""

    of_files: tuple[Binding, ...] = ()
    overrides: tuple[Binding, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.of_files or self.overrides)

    def __add__(self, other: Bindings) -> Bindings:
        """These and others that win over them."""
        return Bindings(self.of_files + other.of_files, self.overrides + other.overrides)

    def bound(self, cls: type, scope: str) -> dict[str, Binding]:
        """The binding in force in `scope` of every parameter of a class that has one.

        That of the innermost scope wins, and of several there the last.
        """
        parts = scope.split("/") if scope else []
        levels: dict[str, dict[str, Binding]] = {
            "/".join(parts[:depth]): {} for depth in range(len(parts) + 1)
        }
        for binding in (*self.of_files, *self.overrides):
            if binding.cls == cls.__name__ and binding.scope in levels:
                levels[binding.scope][binding.parameter] = binding
                if binding.where in (COMMAND_LINE, SWEEP) and not binding.scope:
                    levels[scope][binding.parameter] = binding
        return {name: found for level in levels.values() for name, found in level.items()}

    def values(self, cls: type, scope: str) -> dict[str, Any]:
        """All parameters of a class with their values in `scope`, to be passed by keyword.

        Raises:
            UserError: a parameter that has neither a default nor a binding.
        """
        bound = self.bound(cls, scope)
        found = {}
        for name, parameter in parameters(cls).items():
            value = bound[name].value if name in bound else parameter.default
            if value is inspect.Parameter.empty:
                full = f"{cls.__name__}.{name}"
                raise UserError(
                    f"{full} has neither a default nor a binding; set it in the method's gin file "
                    f'or with --set "{full}=..."'
                )
            found[name] = copied(value)
        return found


def load(sources: ConfigSources, known: KnownNames) -> Bindings:
    """The bindings of all sources, checked.

    Raises:
        UserError: a file or binding that cannot be read, or a statement that names what is not
            known or a value that does not fit, with file and line.
    """
    of_files = tuple(binding for path in sources.files for binding in parsing.read(path))
    overrides = tuple(
        binding
        for text in sources.overrides
        for binding in parsing.parse(text, sources.option(text))
    )
    for binding in (*of_files, *overrides):
        check(binding, known)
    return Bindings(of_files, overrides)


def copied(value: Any) -> Any:
    """A value of its own for whom it is given to: lists and dicts, also nested, are copied."""
    if type(value) is dict:
        return {key: copied(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(copied, value))
    return value
