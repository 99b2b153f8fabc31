"""Reading a method's search space from the file beside its gin file, and checking it."""

from __future__ import annotations

import inspect
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptbench.config import Binding, KnownNames, checking
from promptbench.core.recipe import Recipe
from promptbench.core.registry import Plugin
from promptbench.core.traits import has_solver
from promptbench.errors import UserError, near_miss
from promptbench.spaces.distributions import Choice, Distribution, LogUniform, Uniform
from promptbench.storage import reading
from promptbench.support.safe_text import shortened

SUFFIX = ".space.toml"
_KINDS = {kind.name: kind for kind in (Uniform, LogUniform, Choice)}
_MOST_BYTES = 2**20
_BETWEEN = (0.381966, 0.414214)  # places that no whole bounds make whole numbers of, both at once


@dataclass(frozen=True)
class Space:
    """The parameters of a method that may be tuned, each with its distribution, in the order of
    their names; empty with the reason, `untuned`, if there are none."""

    parameters: Mapping[str, Distribution]
    untuned: str = ""

    def as_data(self) -> dict[str, dict[str, Any]]:
        """The space as plain data, as its file says it."""
        return {name: _data(own) for name, own in self.parameters.items()}

    @property
    def text(self) -> str:
        """The space as canonical text, for hashes."""
        return json.dumps(self.as_data(), sort_keys=True)


def path_of(method: Plugin[Any]) -> Path:
    """Where a method's space lies, if it has one."""
    return Path(inspect.getfile(method.cls)).with_suffix(SUFFIX)


def load(method: Plugin[Any]) -> Space:
    """The space of a method.

    Raises:
        UserError: there is no file, it cannot be read, it is empty, or it names a parameter or a
            value that the method does not have; with the file and the key.
    """
    path = path_of(method)
    if not path.is_file():
        raise UserError(
            f"{method.name} has no search space: write {path.name} beside its module, with "
            '[space] and parameters such as "Recipe.lr" = { log-uniform = [1e-4, 1e-2] }'
        )
    text = reading.read_text(path, _MOST_BYTES, "the search space")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path.name} cannot be parsed: {error}") from error
    return of_data(data, method.cls, path.name)


def of_data(data: Mapping[str, Any], cls: type, where: str) -> Space:
    """The space of a method's class from plain data; `where` it stands.

    Raises:
        UserError: as `load`.
    """
    for key in data:
        if key not in ("space", "untuned"):
            raise UserError(f"{where}: unknown key {key!r}; {near_miss(key, ['space', 'untuned'])}")
    untuned, own = data.get("untuned", ""), data.get("space", {})
    if not isinstance(untuned, str) or not isinstance(own, Mapping):
        raise UserError(f"{where}: space must be a table, and untuned a text")
    if bool(own) == bool(untuned.strip()):
        both, joined = ("has both", "and") if own else ("is empty: it has neither", "nor")
        raise UserError(
            f"{where} {both} parameters under [space] {joined} a reason why nothing is tuned "
            '(untuned = "..."); give one of them'
        )
    known = _known(cls)
    found = {name: _distribution(name, own[name], known, where) for name in sorted(own)}
    return Space(found, untuned.strip())


def _known(cls: type) -> KnownNames:
    """What may be tuned: the method's own parameters, and its recipe's if it takes steps."""
    classes: dict[str, type] = {cls.__name__: cls}
    if not has_solver(cls):
        classes["Recipe"] = Recipe
    return KnownNames(classes, frozenset(), frozenset(), frozenset())


def _distribution(name: str, said: Any, known: KnownNames, where: str) -> Distribution:
    place = f"{where}: {shortened(name)}"
    if not isinstance(said, Mapping) or len(said) != 1 or not set(said) <= set(_KINDS):
        raise UserError(
            f"{place} needs one distribution, {', '.join(_KINDS)}, such as "
            "{ log-uniform = [1e-4, 1e-2] }"
        )
    ((kind, values),) = said.items()
    if not isinstance(values, list) or len(values) < 2:
        raise UserError(f"{place}: {kind} needs a list of at least two values")
    if kind == Choice.name:
        return _choice(name, tuple(map(_tuples, values)), known, place, where)
    return _range(name, kind, values, known, place, where)


def _choice(
    name: str, values: tuple[Any, ...], known: KnownNames, place: str, where: str
) -> Choice:
    for number, value in enumerate(values):
        _check(name, value, known, where)
        if Choice(values[:number]).holds(value):
            raise UserError(f"{place}: choice names {shortened(repr(value))} more than once")
    return Choice(values)


def _range(
    name: str, kind: str, bounds: list[Any], known: KnownNames, place: str, where: str
) -> Uniform | LogUniform:
    numbers = [b for b in bounds if isinstance(b, int | float) and not isinstance(b, bool)]
    if len(bounds) != 2 or len(numbers) != 2 or not all(map(math.isfinite, numbers)):
        raise UserError(f"{place}: {kind} needs two numbers, [lowest, highest]")
    low, high = numbers
    if not low < high:
        raise UserError(f"{place}: {kind} = [{low}, {high}]: the first must be below the second")
    if kind == LogUniform.name and low <= 0:
        raise UserError(f"{place}: {kind} = [{low}, {high}]: the first must be above 0")
    for bound in numbers:
        _check(name, bound, known, where)
    whole = not _takes_fractions(name, low, high, known, where)
    return Uniform(low, high, whole) if kind == Uniform.name else LogUniform(low, high, whole)


def _takes_fractions(name: str, low: float, high: float, known: KnownNames, where: str) -> bool:
    """Whether a parameter takes numbers between its bounds that are not whole."""
    try:
        for place in _BETWEEN:
            _check(name, float(low + place * (high - low)), known, where)
    except UserError:
        return False
    return True


def _check(name: str, value: Any, known: KnownNames, where: str) -> None:
    """Refuse a parameter that the method does not have, or a value that does not fit it."""
    cls, dot, parameter = name.rpartition(".")
    if not dot:
        raise UserError(f"{where}: {shortened(name)!r} is not of the form Name.parameter")
    checking.check(Binding("", "", cls, parameter, value, where), known)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _data(own: Distribution) -> dict[str, Any]:
    values = own.values if isinstance(own, Choice) else (own.low, own.high)
    return {own.name: list(values)}
