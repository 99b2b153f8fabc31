"""`promptbench check`: the contract on a method as it would be run, with its own gin file."""

from __future__ import annotations

from typing import Any

from promptbench.contract import elsewhere
from promptbench.contract.bench import Bench, Build, Settings, build_of
from promptbench.contract.examination import examine
from promptbench.contract.verdicts import CheckResult
from promptbench.contract.world import World
from promptbench.core.recipe import Recipe
from promptbench.core.registry import Plugin
from promptbench.errors import UserError, one_line
from promptbench.planning.settings import default_settings


def checkup(plugin: Plugin[Any], seed: int = 0, where: str | None = None) -> list[CheckResult]:
    """Whether a method's configuration and every point of the contract hold.

    Args:
        seed: what class names, images, batches and CLIPs are drawn from.
        where: the method's name or file, to ask it in another process as well; None: only here.
    """
    point = "Its gin file names what exists, with values of the right types."
    try:
        settings = default_settings(plugin)
    except UserError as error:
        return [CheckResult(point, False, str(error))]
    bound = sum(len(values) for values in settings.values())
    origin = plugin.gin_file.name if plugin.gin_file else "no gin file: defaults only"
    first = CheckResult(point, True, f"{bound} settings, {origin}")
    build = build_of(plugin, settings)
    first = _fitting(first, build, settings, seed)
    if where is None:
        return [first, *examine(build, plugin.cls, seed)]
    with elsewhere.asked(where, seed) as process:
        return [first, *examine(build, plugin.cls, seed), process.verdict(build, seed)]


def _fitting(first: CheckResult, build: Build, settings: Settings, seed: int) -> CheckResult:
    """The verdict on the configuration, once the groups of the recipe are the method's."""
    recipe = settings.get("Recipe", {})
    if not first.held or not (recipe.get("groups") or recipe.get("stages")):
        return first
    whole = Recipe(**recipe)
    try:
        method = Bench.of(build, World.drawn(seed, "recipe")).method
        for own in [whole.of_stage(stage) for stage in whole.stages] or [whole]:
            own.by_group(method)
    except Exception as error:  # whatever a plugin raises is the finding
        return CheckResult(first.point, False, one_line(error))
    return first
