"""What is known here, looked up once: many records ask for the same few plugins, legs and settings.

The answers hold for the life of the process, in which nothing is installed, or until `forget`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar

from promptbench import config, mixing
from promptbench.config import KnownNames, suites
from promptbench.core import selection
from promptbench.core.metric import Metric
from promptbench.core.protocol import Leg
from promptbench.core.registry import BUILT_IN, METHODS, PROTOCOLS, SELECTIONS, Plugin
from promptbench.core.selection import Selection
from promptbench.data.cards import cards
from promptbench.data.cards.cards import DataCard
from promptbench.planning.legs import legs_of
from promptbench.planning.settings import (
    BY_HAND,
    known_names,
    load_protocol,
    scope_of,
    settings_of,
    shipped,
)
from promptbench.records.scores import load

P = ParamSpec("P")
R = TypeVar("R")
_clearing: list[Callable[[], None]] = []


def _once(look_up: Callable[P, R]) -> Callable[P, R]:
    """Look each thing up once, until `forget`."""
    kept = cache(look_up)
    _clearing.append(kept.cache_clear)
    return kept  # type: ignore[return-value]  # which takes the same arguments


card = _once(cards.load)
suite = _once(suites.load)


@_once
def method_names() -> frozenset[str]:
    """The names of all installed methods."""
    return frozenset(METHODS.names())


@_once
def protocol_names() -> tuple[str, ...]:
    """The names of all installed protocols."""
    return tuple(PROTOCOLS.names())


@_once
def dataset_names() -> frozenset[str]:
    """The names of all datasets with a card."""
    return frozenset(cards.names())


def suite_cards() -> list[DataCard]:
    """The cards of the suites' datasets; a user's own cards are nobody else's business."""
    found = [card(name) for name in sorted(dataset_names())]
    return [each for each in found if each.suite in suite_names()]


@_once
def suite_names() -> tuple[str, ...]:
    """All suites, those whose numbers compare with papers first."""
    return tuple(sorted(suites.names(), key=lambda name: not suite(name).comparable))


@_once
def method(name: str) -> Plugin[Any]:
    """An installed method."""
    return METHODS.load(name)


@_once
def stated(name: str, what: str) -> Any:
    """What the class of an installed method states of itself, such as its title."""
    return METHODS.stated(name, what)


@_once
def provider_of_method(name: str) -> str | None:
    """Who provides a method; None where there is none of this name."""
    return METHODS.provider(name)


@_once
def provider_of_protocol(name: str) -> str | None:
    """Who provides a protocol; None where there is none of this name."""
    return PROTOCOLS.provider(name)


@_once
def protocol(name: str) -> Plugin[Any]:
    """An installed protocol."""
    return PROTOCOLS.load(name)


@_once
def default_metric() -> Metric:
    """The metric that is meant where none is named."""
    return load()


@_once
def shots_together(protocol_name: str) -> bool:
    """Whether a table of a protocol holds all numbers of shots."""
    return mixing.shots_together(protocol_name)


@_once
def selection_of(protocol_name: str) -> Plugin[Selection]:
    """The selection rule of an installed protocol."""
    return selection.of_protocol(protocol(protocol_name))


@_once
def own_selections() -> tuple[str, ...]:
    """What records call the selection rules that come with promptbench: any may be asked for."""
    rules = map(SELECTIONS.load, SELECTIONS.names())
    return tuple(selection.recorded(rule) for rule in rules if rule.provider == BUILT_IN)


@_once
def legs(
    protocol_name: str, suite_name: str, shots: int, only: tuple[str, ...] | None = None
) -> tuple[Leg, ...]:
    """The legs of a protocol in a suite with so many shots; `only` names datasets, as there.

    Raises:
        UserError: datasets that the protocol has no use for.
    """
    names = _names(protocol_name, None)
    return tuple(legs_of(load_protocol(protocol_name, suite_name, names), shots, only))


@_once
def _names(protocol_name: str, method_name: str | None) -> KnownNames:
    own = [method(method_name)] if method_name else []
    return known_names([*own, protocol(protocol_name)])


@_once
def shipped_settings(
    method_name: str,
    protocol_name: str,
    backbone: str,
    preset: str,
    leg: Leg,
    by_hand: bool = False,
) -> dict[str, dict[str, Any]]:
    """The settings that promptbench ships for a cell, by class; not to be changed.

    Args:
        by_hand: as it shipped them before a search chose those of the backbone.
    """
    plugin = method(method_name)
    scope = scope_of(protocol_name, protocol(protocol_name).cls(), preset, leg)
    names = _names(protocol_name, method_name)
    came_with = config.load(shipped(plugin, backbone, leg, BY_HAND if by_hand else preset), names)
    return settings_of(plugin, came_with, scope, leg.source.shots)


def forget() -> None:
    """Look everything up again, after cards or plugins have changed."""
    for clear in _clearing:
        clear()
