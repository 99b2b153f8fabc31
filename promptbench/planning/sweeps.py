"""Sweeps: settings that take several values each, and all combinations of these.

    --sweep "AlignedNorm.w_token=0,0.01,0.1" --sweep "AlignedNorm.w_proj=0,0.1"

are six combinations, each of them two bindings as in --set. Values are gin's, separated by commas;
one that holds commas itself stands in its brackets or quotes: `MMRL.layers=(6, 7),(11, 12)`.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptbench import config
from promptbench.config import Binding
from promptbench.errors import UserError
from promptbench.planning.request import Request
from promptbench.support.safe_text import shortened

OPTION = config.SWEEP
# By swept settings, by what else is asked for, by their bindings: the ids of the cells.
_Cells = Mapping[str, Mapping[tuple[Any, ...], dict[str, tuple[str, ...]]]]
_FORM = 'Name.parameter=value,value such as "AlignedNorm.w_token=0,0.01,0.1"'


@dataclass(frozen=True)
class Axis:
    """A setting and the values that it takes; `name` is without `scope`."""

    name: str
    scope: str
    values: tuple[Any, ...]

    @property
    def called(self) -> str:
        """The setting with its scope."""
        return "/".join(filter(None, (self.scope, self.name)))

    @property
    def bindings(self) -> list[str]:
        """One binding for each value."""
        return [f"{self.called} = {value!r}" for value in self.values]

    def meets(self, scope: str, name: str) -> bool:
        """Whether a binding of this scope and name would bind what this one varies."""
        return name == self.name and (scope == self.scope or "" in (scope, self.scope))


def axes(specifications: Iterable[str], fixed: Iterable[str] = ()) -> list[Axis]:
    """The settings that sweeps vary.

    Args:
        specifications: what stands after each --sweep.
        fixed: bindings that hold for all combinations.

    Raises:
        UserError: what is not of the form, a value or a setting that is named twice, a setting
            that is also fixed; a setting without a scope is the same in every scope.
    """
    found = [_axis(text) for text in specifications]
    for one, other in itertools.combinations(found, 2):
        if one.meets(other.scope, other.name):
            raise UserError(
                f"{OPTION} names {other.called} more than once; give all its values in one"
            )
    set_too = [text.partition("=")[0].strip().rpartition("/")[::2] for text in fixed]
    for axis in found:
        if any(axis.meets(scope, name) for scope, name in set_too):
            raise UserError(
                f"{axis.name} is both swept and set, by --set or a variant of the grid; leave one "
                "of them out"
            )
    return found


def combinations(found: Sequence[Axis]) -> list[tuple[str, ...]]:
    """The product of all values as bindings, the last setting varying fastest; without settings,
    the one empty combination."""
    return list(itertools.product(*(axis.bindings for axis in found)))


def refuse_idle(made: Iterable[tuple[Request, Sequence[str]]]) -> None:
    """Refuse a swept setting whose values change nothing.

    Args:
        made: requests of one grid, and the ids of the cells that each comes to.

    Raises:
        UserError: a setting of which all values come to the same cells, whatever the others are.
    """
    found: _Cells = defaultdict(lambda: defaultdict(dict))
    for request, ids in made:
        for binding in request.swept:
            others = tuple(each for each in request.set if each != binding)
            same = found[binding.partition(" = ")[0]][request.protocol, request.preset, others]
            same[binding] = tuple(ids)
    for called, groups in found.items():
        several = any(len(own) > 1 for own in groups.values())
        if several and all(len(set(own.values())) == 1 for own in groups.values()):
            raise UserError(
                f"{OPTION} {called}: all of its values come to the same cells; no cell here is in "
                "its scope, or a narrower one of a file wins"
            )


def names(specifications: Iterable[str]) -> list[str]:
    """The settings that sweeps vary, each once, as tables call them.

    Raises:
        UserError: as `axes`.
    """
    return list(dict.fromkeys(axis.name for axis in axes(specifications)))


def _axis(text: str) -> Axis:
    called, equals, values = (part.strip() for part in text.partition("="))
    if not equals or "." not in called or called.startswith("("):
        raise UserError(f"{OPTION} {shortened(text)!r} is not of the form {_FORM}")
    if not values.strip(", "):
        raise UserError(f"{OPTION} {called} names no value; it is of the form {_FORM}")
    binding = _parsed(called, values)
    return Axis(f"{binding.cls}.{binding.parameter}", binding.scope, _once(called, binding.value))


def _parsed(called: str, values: str) -> Binding:
    """The values as one binding of a tuple, which gin's own parser has read."""
    own = config.parse(f"{called} = ({values.removesuffix(',')},)", OPTION)
    if len(own) != 1 or not isinstance(own[0].value, tuple):
        raise UserError(f"{OPTION} {called}={shortened(values)} is not of the form {_FORM}")
    return own[0]


def _once(called: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    for number, value in enumerate(values):
        for other in values[:number]:
            if value == other and isinstance(value, bool) == isinstance(other, bool):
                raise UserError(
                    f"{OPTION} {called} names the value {shortened(repr(value))} more than once"
                )
    return values
