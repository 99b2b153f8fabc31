"""The forecast of requests, from records of this machine and from steps measured on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from promptbench.data import decoded
from promptbench.data.cards import cards
from promptbench.data.shards import store
from promptbench.forecast import pace, stopwatch
from promptbench.forecast.pace import key_of
from promptbench.forecast.shares import Share, shares_of
from promptbench.forecast.stopwatch import Measured
from promptbench.planning import plan
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.notes import notes_of
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.running import executor, failures, filling
from promptbench.running.lab.compute import Compute, of_machine
from promptbench.running.predicting import feature_cache
from promptbench.support.progress import Reporter

_UNTRIED = "no record says it, and --no-timing tries none"
_SOLVER = "its solver is timed only by records of the same dataset"


@dataclass(frozen=True)
class Forecast:
    """The shares of all `plans`, what they were estimated from, and what is to be prepared first.

    `unknown` are methods that raise where they are measured, `untimed` those that run but whose
    time is not known, each with the reason. `jobs` are the processes that would share the time.
    `whole` are methods of which a step shares no block of a tower with others, as far as steps were
    measured.
    """

    shares: tuple[Share, ...]
    unprepared: tuple[str, ...]
    from_records: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    untimed: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    out: Path = field(default_factory=Path)
    jobs: int = 1
    plans: tuple[Plan, ...] = ()


def forecast(
    requests: Sequence[Request],
    machine: Machine | None = None,
    listener: Reporter | None = None,
    timing: bool = True,
) -> Forecast:
    """The forecast of requests on a machine; `listener` hears how far it has come.

    Without `timing` no step is tried: what no record shows stays without a time.

    Raises:
        UserError: what a run would raise before it computes.
    """
    feature_cache.bound_here()  # a run would refuse a wrong one
    decoded.bound_here()
    machine, listener = machine or Machine(), listener or Reporter()
    executor.chosen(machine)
    compute, out = of_machine(machine), machine.out
    plans = plan.of_requests(requests, compute.precision, out)
    finished, pending = plan.parted(plans)
    if not machine.retry_failed:
        pending = failures.not_failed(pending, out)
    found = _paces(plans, pending, machine, compute, listener, timing)
    done = {cell.id for cell, _ in finished}
    shares = shares_of(plans, {cell.id for cell in pending}, done, found.paces)
    solvers = {s.method: _SOLVER for s in shares if s.untimed and s.method not in found.broken}
    origins = {(key[0], known.from_record) for key, known in found.paces.items()}
    return Forecast(
        shares=tuple(shares),
        unprepared=tuple(_unprepared(plans)),
        from_records=tuple(sorted(name for name, recorded in origins if recorded)),
        measured=tuple(sorted(name for name, recorded in origins if not recorded)),
        unknown=_reasons(found.broken),
        untimed=_reasons(solvers | found.crowded),
        whole=_reasons(found.whole),
        notes=tuple(notes_of(plans, pending, finished)),
        left_out=tuple(dict.fromkeys(name for made in plans for name in made.left_out)),
        out=out,
        plans=tuple(plans),
        jobs=filling.filled(machine, plans, pending, compute, Reporter()).jobs,
    )


def _reasons(found: Mapping[str, str]) -> tuple[str, ...]:
    """Name the methods with their reasons; those that share one together."""
    names: dict[str, list[str]] = {}
    for name, reason in sorted(found.items()):
        names.setdefault(reason, []).append(name)
    return tuple(f"{', '.join(who)} ({reason})" for reason, who in names.items())


def _paces(
    plans: Sequence[Plan],
    pending: Sequence[Cell],
    machine: Machine,
    compute: Compute,
    listener: Reporter,
    timing: bool,
) -> Measured:
    """The pace of each pending method and source: from records, else measured.

    Records do not say how the towers' passes were compiled or cut, so that they do not count where
    that is asked for.
    """
    if not pending:
        return Measured()
    as_asked = machine.compile or machine.class_chunk is not None
    known = {} if as_asked else pace.from_records(machine.out, compute, pending)
    missing = [cell for cell in pending if key_of(cell) not in known]
    found = Measured()
    if missing and not timing:
        found.crowded |= {cell.method.name: _UNTRIED for cell in missing}
    elif missing:
        names = ", ".join(dict.fromkeys(cell.method.name for cell in missing))
        listener.message(f"no earlier record says how long these take, so they are tried: {names}")
        found = stopwatch.measure(missing, plans, machine, compute, listener)
    keys = {key_of(cell) for cell in pending}
    found.paces |= {key: known[key] for key in keys & known.keys()}
    return found


def _unprepared(plans: Iterable[Plan]) -> list[str]:
    """Datasets whose shards are not there yet."""
    named = dict.fromkeys((name, made.root) for made in plans for name in made.datasets())
    return [name for name, root in named if not store.is_prepared(cards.load(name), root)]
