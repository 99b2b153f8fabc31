"""`promptbench check`: the contract on a method as it would be run, with its own gin file."""

from __future__ import annotations

from typing import Any

from promptbench.contract import elsewhere
from promptbench.contract.bench import build_of
from promptbench.contract.examination import examine
from promptbench.contract.verdicts import CheckResult
from promptbench.core.registry import Plugin
from promptbench.errors import UserError
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
    if where is None:
        return [first, *examine(build, plugin.cls, seed)]
    with elsewhere.asked(where, seed) as process:
        return [first, *examine(build, plugin.cls, seed), process.verdict(build, seed)]
