"""`promptbench check`: the contract on a protocol, with its own gin file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from promptbench.contract import protocol_checks as checks
from promptbench.contract.protocol_bench import ProtocolBench
from promptbench.contract.verdicts import Broken, CheckResult, point_of
from promptbench.core.registry import Plugin
from promptbench.errors import UserError

CHECKS: tuple[Callable[[ProtocolBench], str], ...] = (
    checks.it_says_what_it_is,
    checks.counts_of_shots_make_sense,
    checks.legs_are_the_same_each_time,
    checks.legs_are_for_the_datasets_asked,
    checks.keys_are_unique,
    checks.class_sets_hold,
    checks.shifts_say_what_was_learned,
    checks.columns_follow_from_scores,
    checks.columns_are_told_apart,
    checks.tables_of_some_records_have_columns,
    checks.it_holds_nothing_of_what_was_asked,
)
SETTINGS = "Its gin file names what exists, and gives it legs in every suite or none."


def checkup(plugin: Plugin[Any], seed: int = 0, where: str | None = None) -> list[CheckResult]:
    """Whether a protocol's configuration and every point of the contract hold.

    Where the configuration does not, nothing else can be asked. `seed` and `where` are those of
    every kind's checkup: nothing is drawn here, and nobody else is asked.
    """
    try:
        bench = ProtocolBench.of(plugin)
    except Exception as error:  # whatever a plugin raises is the finding
        return [CheckResult(SETTINGS, False, _told(error))]
    told = ", ".join(f"{name} {len(found)}" for name, found in bench.datasets.items())
    origin = plugin.gin_file.name if plugin.gin_file else "no gin file"
    first = CheckResult(SETTINGS, True, f"datasets scored: {told} ({origin})")
    return [first, *(_verdict(check, bench) for check in CHECKS)]


def _verdict(check: Callable[[ProtocolBench], str], bench: ProtocolBench) -> CheckResult:
    point = point_of(check)
    try:
        return CheckResult(point, True, check(bench))
    except Exception as error:  # whatever a plugin raises is the finding
        return CheckResult(point, False, _told(error))


def _told(error: Exception) -> str:
    plain = isinstance(error, Broken | UserError)
    return str(error) if plain else f"{type(error).__name__}: {error}"
