"""Which methods can run under a protocol on a backbone, and why others cannot."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from promptbench.core.protocol import Leg
from promptbench.core.registry import Plugin
from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.planning import extent
from promptbench.planning.cells import Cell
from promptbench.planning.class_texts import Shelf
from promptbench.planning.legs import unseen
from promptbench.planning.request import Request
from promptbench.support.prose import counted

Parameters = Callable[[Plugin[Any], Leg], Mapping[str, Any]]


def fitting(
    methods: Sequence[Plugin[Any]],
    legs: Sequence[Leg],
    request: Request,
    backbone: str,
    parameters_of: Parameters,
    shelf: Shelf,
) -> tuple[list[Plugin[Any]], tuple[str, ...]]:
    """The methods that can run; of "all", the others are left out, by name and reason.

    Args:
        parameters_of: how a method is set for a leg.
        shelf: where class texts are.

    Raises:
        UserError: one that is asked for by its name cannot run.
    """
    some_unseen, textless = any(map(unseen, legs)), shelf.lacking(legs)
    protocol = f"under {request.protocol}"
    able: list[Plugin[Any]] = []
    left_out: list[str] = []
    for method in methods:
        places = {
            protocol: _of_protocol(method, some_unseen)
            or _of_texts(method, textless)
            or _of_packages(method),
            f"on {backbone}": _of_backbone(method, legs, backbone, parameters_of, request.every),
        }
        reasons = {place: reason for place, reason in places.items() if reason}
        if not reasons:
            able.append(method)
            continue
        place, reason = next(iter(reasons.items()))
        if not request.every:
            raise UserError(f"{method.name} cannot run {place}: {reason}")
        left_out.append(f"{method.name} ({reason})")
    return able, tuple(left_out)


def long_enough(cells: Sequence[Cell], every: bool) -> tuple[list[Cell], tuple[str, ...]]:
    """The cells whose training has a step for each of its stages; of `every` method that there is
    the others are left out, by name, source and reason.

    Raises:
        UserError: one of a method that is asked for by its name is too short.
    """
    found: list[Cell] = []
    left_out: dict[str, None] = {}
    for cell in cells:
        reason = _of_length(cell)
        if reason is None:
            found.append(cell)
            continue
        source = cell.leg.source
        place = f"on {source.dataset}, {counted(source.shots, 'shot')}"
        if not every:
            raise UserError(f"{cell.method.name} cannot run {place}: {reason}")
        left_out[f"{cell.method.name} {place} ({reason})"] = None  # once for all seeds
    return found, tuple(left_out)


def _of_length(cell: Cell) -> str | None:
    if not cell.recipe.get("stages"):
        return None
    try:
        extent.course_of(cell)
    except UserError as error:
        return str(error)
    return None


def _of_protocol(method: Plugin[Any], some_unseen: bool) -> str | None:
    """What of the protocol a method cannot do; `some_unseen`: not all names were learned."""
    if some_unseen and not method.cls.open_vocabulary:
        return (
            "it scores only classes it was trained on; few_shot is a protocol whose targets have "
            "the source's classes"
        )
    return None


def _of_texts(method: Plugin[Any], textless: Sequence[str]) -> str | None:
    """What a method lacks that uses class texts; `textless`: datasets without a file."""
    if textless and method.cls.class_texts is True:
        return (
            f"it uses sentences about the classes, and no file is named for {', '.join(textless)}: "
            "add --class-texts FILE (docs/class-texts.md)"
        )
    return None


def _of_packages(method: Plugin[Any]) -> str | None:
    missing = [name for name in method.cls.requires if importlib.util.find_spec(name) is None]
    return f"it needs {missing[0]}: {method.cls.requires[missing[0]]}" if missing else None


def _of_backbone(
    method: Plugin[Any], legs: Sequence[Leg], backbone: str, parameters_of: Parameters, every: bool
) -> str | None:
    """What of the backbone a method lacks, as it is set for any of the legs; in short for one of
    `every` method that there is."""
    if not backbones.lacking_in(backbone, method.cls.needs):
        return None
    needs = dict.fromkeys(
        name for leg in legs for name in method.cls.needs_with(parameters_of(method, leg))
    )
    absent = backbones.lacking_in(backbone, needs)
    if absent and every:
        return f"it needs {' and '.join(absent)}, which {backbone} does not offer"
    return backbones.why_not(backbone, needs)
