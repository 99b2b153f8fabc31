"""From searches to records: all trials, the choice, and the chosen settings with their targets."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from promptbench.planning import labels, plan
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.planning.searched import Key
from promptbench.records import Record
from promptbench.records.tuning import TuningInfo
from promptbench.running import failures, session
from promptbench.running.lab.compute import Compute
from promptbench.support import stopping
from promptbench.tracking import Listener
from promptbench.tuning import choosing
from promptbench.tuning.search import Search, baselines


@dataclass(frozen=True)
class Tuned:
    """What searches came to: the choices by protocol, and the records of the chosen settings with
    their zero-shot rows, which lie in `folders`."""

    choices: Mapping[str, Mapping[Key, TuningInfo]]
    records: list[Record]
    folders: list[Path]


def tune(
    searches: Sequence[Search],
    asked: Sequence[Request],
    machine: Machine,
    listener: Listener | None = None,
) -> Tuned:
    """Train the trials that have no record yet, choose, and run what was chosen.

    Given again, it goes on where it was; several processes that are given the same share the work
    and come to the same choice, since the trials do not depend on each other.

    Args:
        asked: what the searches were made of, for the zero-shot rows.

    Raises:
        CellsFailed: cells that could not be computed; a trial that diverged is not one of them.
        UserError: what the user can fix.
    """
    compute = session.compute_of(machine)
    with stopping.answering(tell=partial(print, file=sys.stderr)):
        built = train_trials(searches, machine, compute, listener)
        finals, chosen = finals_of(searches, asked, built, machine)
        plans, _ = session.plans_of(finals, machine)
        records = session.run_plans(plans, machine, compute, listener)
        return Tuned(chosen, records, plan.folders(plans))


def trial_plans(searches: Sequence[Search], machine: Machine, compute: Compute) -> list[list[Plan]]:
    """The plans of the trials of each search, in order."""
    return [
        [plan.build(request, compute.precision, machine.out) for request in search.trials()]
        for search in searches
    ]


def finals_of(
    searches: Sequence[Search],
    asked: Sequence[Request],
    built: Sequence[Sequence[Plan]],
    machine: Machine,
    supposed: bool = False,
) -> tuple[list[Request], dict[str, dict[Key, TuningInfo]]]:
    """The requests for what was chosen, zero-shot rows first, and the choices by protocol.

    Args:
        built: the plans of the trials of each search.
        supposed: whether the first trial is taken for the best, where trials are not done yet.
    """
    finals, chosen = baselines(asked), dict[str, dict[Key, TuningInfo]]()
    for search, plans in zip(searches, built, strict=True):
        pending = [cell for made in plans for cell in made.pending()]
        done = all(failures.has_diverged(cell, machine.out) for cell in pending)
        if supposed and not done:
            own = choosing.supposed(search, plans)
        else:
            own = choosing.choices(search, plans, machine.out)
        finals.append(search.final(own))
        chosen.setdefault(search.asked.protocol, {}).update(own)
    return finals, chosen


def train_trials(
    searches: Sequence[Search],
    machine: Machine,
    compute: Compute,
    listener: Listener | None = None,
) -> list[list[Plan]]:
    """Train all trials that have no record yet; returns the plans of each search, in order.

    Raises:
        CellsFailed: some have failed otherwise than by diverging.
    """
    built = trial_plans(searches, machine, compute)
    plans = labels.told_apart(plan.distinct([made for own in built for made in own]))
    session.compute_pending(plans, machine, compute, listener)
    pending = [cell for made in plans for cell in made.pending()]
    if failed := [cell for cell in pending if not failures.has_diverged(cell, machine.out)]:
        raise failures.error_of(failed, machine.out, [])
    return built
