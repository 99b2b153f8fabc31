"""`promptbench check`: the contract on a method as it would be run, with its own gin file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptbench import config
from promptbench.contract.verdicts import Verdict, examine
from promptbench.errors import UserError
from promptbench.method import ClassSet, Method
from promptbench.planning.settings import default_settings
from promptbench.registry import Plugin
from promptbench.towers import Towers

Settings = Mapping[str, Mapping[str, Any]]


def checkup(plugin: Plugin[Any]) -> list[Verdict]:
    """Whether a method's configuration and every point of the contract hold."""
    point = "Its gin file names what exists, with values of the right types."
    try:
        settings = default_settings(plugin)
    except UserError as error:
        return [Verdict(point, False, str(error))]
    bound = sum(len(values) for values in settings.values())
    origin = plugin.gin_file.name if plugin.gin_file else "no gin file: defaults alone"
    return [Verdict(point, True, f"{bound} settings, {origin}"), *_contract(plugin, settings)]


def _contract(plugin: Plugin[Any], settings: Settings) -> list[Verdict]:
    def build(towers: Towers, classes: ClassSet) -> Method:
        with config.unscoped(settings):
            method: Method = plugin.cls(towers, classes)
        return method

    return examine(build)
