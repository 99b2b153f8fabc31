"""The cells of a request, each with its method as it is set there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from promptbench.config import Bindings, ConfigSources
from promptbench.config.suites import Suite
from promptbench.core.protocol import Leg, Protocol
from promptbench.core.registry import Plugin
from promptbench.core.selection import Selection
from promptbench.core.traits import has_decoupled_inference, uses_class_texts
from promptbench.errors import UserError
from promptbench.planning import searched
from promptbench.planning.cells import Cell
from promptbench.planning.class_texts import Shelf
from promptbench.planning.request import BASELINE, Request
from promptbench.planning.settings import (
    differences,
    fitting_settings_of,
    scope_of,
    settings_of,
    shipped,
)


def cells_of(
    request: Request,
    suite: Suite,
    protocol: Protocol,
    legs: Sequence[Leg],
    methods: Sequence[Plugin[Any]],
    shared: Mapping[str, Any],
    rules: Sequence[Plugin[Selection]],
    load: Callable[[ConfigSources], Bindings],
    own: Bindings,
    shelf: Shelf,
) -> list[Cell]:
    """The cells of a request, in the order in which they are computed.

    Args:
        shared: the fields that all cells have in common.
        rules: the protocol's selection rule; behind it those that are asked for, if any.
        load: reads the files that come with a method, each once.
        own: what the request binds itself.
        shelf: where class texts are.
    """
    usual, *asked = rules
    return [
        cell
        for leg in legs
        for method in methods
        for settled in (_settled(request, suite.backbone, protocol, method, leg, load, own, shelf),)
        for inference in _inferences(method, request.inference, protocol, leg)
        for seed in suite.seeds
        for cell in _selected(
            Cell(
                leg=leg,
                seed=seed,
                inference=inference,
                selection=usual,
                rules=(usual,),
                **shared,
                **settled,
            ),
            asked,
        )
    ]


def _selected(cell: Cell, asked: Sequence[Plugin[Selection]]) -> list[Cell]:
    """A cell by each of the rules that are asked for; where nothing is learned, and so nothing to
    be selected, by its protocol's."""
    if not asked or not cell.learns:
        return [cell]
    by_name = {rule.name: rule for rule in (cell.selection, *asked)}
    rules = tuple(by_name.values())
    return [replace(cell, selection=by_name[rule.name], rules=rules) for rule in asked]


def _settled(
    request: Request,
    backbone: str,
    protocol: Protocol,
    method: Plugin[Any],
    leg: Leg,
    load: Callable[[ConfigSources], Bindings],
    own: Bindings,
    shelf: Shelf,
) -> dict[str, Any]:
    """A method as it is set for a leg, whatever the seed: fields of its cells."""
    chosen = searched.choice(request.chosen, method.name, leg.source)
    came_with = load(shipped(method, backbone, leg, request.recorded_preset))
    if chosen is not None:
        came_with += load(ConfigSources((), searched.bindings(chosen)))
    scope = scope_of(request.protocol, protocol, request.preset, leg)
    settings = fitting_settings_of(method, came_with + own, scope, leg.source.shots)
    usual = settings_of(method, came_with, scope, leg.source.shots) if own else settings
    parameters = settings[method.cls.__name__]
    return {
        "method": method,
        "parameters": parameters,
        "recipe": settings.get("Recipe", {}),
        "overrides": differences(usual, settings, method.cls),
        "tuning": chosen,
        "class_texts": shelf.of(leg) if uses_class_texts(method.cls, parameters) else {},
    }


def _inferences(method: Plugin[Any], wanted: str, protocol: Protocol, leg: Leg) -> list[str]:
    """The inference rules to score a method by, each a cell of its own on one training.

    Where no target is shifted, or no split is known, a decoupled rule is the unified one.
    """
    decoupled = has_decoupled_inference(method.cls)
    if wanted == "decoupled" and not decoupled and method.name != BASELINE:
        raise UserError(
            f"{method.cls.title} has no decoupled inference; drop --inference decoupled or run it "
            "for methods that have it (promptbench ls methods)"
        )
    differs = protocol.split_known and any(target.shift != "none" for target in leg.targets)
    if wanted == "auto":
        return ["decoupled", "unified"] if decoupled and differs else ["unified"]
    return [wanted] if decoupled else ["unified"]
