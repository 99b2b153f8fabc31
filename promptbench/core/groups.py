"""Parameters that are trained by settings of their own, as a recipe's `groups` say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from promptbench.core.method import Method
from promptbench.errors import UserError, near_miss
from promptbench.isolation.entering import enter, learnables

Part = tuple[dict[str, Any], list[nn.Parameter]]  # settings, and what they are of


def grouped(method: Method, groups: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Everything a method learns, in parts with equal settings; later groups win.

    Args:
        groups: of a recipe; "parameters" names a group of the method, or is a pattern of the names
            of parameters, the other entries are settings.

    Raises:
        UserError: a group that the method does not have and no parameter's name matches; a
            parameter of a group that is not the method's.
    """
    learned = [(name, p) for name, p in learnables(method) if p.requires_grad]
    found: dict[str, dict[str, Any]] = {name: {} for name, _ in learned}
    own = _groups_of(method) if groups else {}
    for group in groups:
        wanted = group["parameters"]
        settings = {name: value for name, value in group.items() if name != "parameters"}
        for name in own.get(wanted) or _matching(method, wanted, own):
            if name in found:
                found[name] |= settings
    parts: list[Part] = []
    for name, parameter in learned:
        part = next((members for settings, members in parts if settings == found[name]), None)
        if part is None:
            parts.append((found[name], [parameter]))
        else:
            part.append(parameter)
    return parts


def _groups_of(method: Method) -> dict[str, list[str]]:
    """The names of the parameters of each of a method's own groups."""
    names = {id(parameter): name for name, parameter in learnables(method)}
    found = enter(lambda: {name: list(members) for name, members in method.groups().items()})
    strange = [name for name, members in found.items() if any(id(p) not in names for p in members)]
    if strange:
        raise UserError(
            f"the group {strange[0]!r} of {type(method).title} holds something that is not one of "
            "its parameters (those of its `named_parameters`)"
        )
    return {name: [names[id(p)] for p in members] for name, members in found.items()}


def _matching(method: Method, pattern: str, own: Mapping[str, Any]) -> list[str]:
    names = [name for name, _ in learnables(method)]
    matching = [name for name in names if fnmatchcase(name, pattern)]
    if not matching:
        raise UserError(
            f"Recipe.groups: {type(method).title} has no group {pattern!r}, and none of its "
            f"parameters is called so; {near_miss(pattern, [*own, *names])}"
        )
    return matching
