"""How an output folder stands, on a terminal of 80 columns or in a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptbench.support.prose import counted, say
from promptbench.support.safe_text import visible
from promptbench.support.whereabouts import named
from promptbench.tracking.display import clock
from promptbench.workers.looking_on.standing import Cells, Failed, PlanStanding, Standing, Underway

_LISTED = 20  # cells of each list that are shown; --json has them all


def show(found: Standing, console: Console) -> None:
    """Print how the plans of a folder stand."""
    plans = counted(len(found.plans), "plan")
    say(console, f"{found.out}, {plans}: {counts(found.whole)}", style="bold")
    if (times := pace_of(found.whole)) is not None:
        say(console, times)
    for plan in found.plans:
        _show_plan(plan, console, alone=len(found.plans) == 1)
    if found.whole.underway:
        console.print(_running(found.whole.underway))
        _more(len(found.whole.underway), "underway", console)
    for each in found.whole.failed[:_LISTED]:
        say(console, "\n".join(_failed(each)), style="red")
    _more(len(found.whole.failed), "failed", console)
    for entry, count in found.whole.died:
        text = f"{visible(entry.label)}: who computed it has died, {counted(count, 'time')}"
        say(console, text, style="yellow")


def counts(cells: Cells) -> str:
    """How many cells there are, and how they stand."""
    parts = [f"{cells.done} of {counted(cells.total, 'cell')} done"]
    if cells.failed:
        parts.append(f"{len(cells.failed)} failed")
    if cells.underway:
        parts.append(f"{len(cells.underway)} underway")
    if cells.left:
        begun = f" ({cells.begun} of them begun before)" if cells.begun else ""
        parts.append(f"{cells.left} left{begun}")
    return ", ".join(parts)


def pace_of(cells: Cells) -> str | None:
    """How fast it goes, and how much longer it takes; None when nothing is to be done."""
    if not cells.left and not cells.underway:
        return None
    rate = [] if cells.per_hour is None else [f"{cells.per_hour:.0f} cells per hour lately"]
    if not cells.underway:
        nobody = "nobody computes now: workers wait in a queue, are beginning, or have ended"
        return "; ".join([*rate, nobody])
    if cells.seconds_left is None:
        rest = "how long the rest takes is not known yet"
    else:
        rest = f"about {clock(max(cells.seconds_left, 1.0))} left with the workers of now"
    return "; ".join([*rate, rest])


def in_short(cells: Cells) -> str:
    """Who is at it, and what has failed, in a few words."""
    hosts = Counter(each.host for each in cells.underway)
    where = next(iter(hosts)) if len(hosts) == 1 else counted(len(hosts), "machine")
    on = "nobody computes" if not cells.underway else f"{len(cells.underway)} on {where or '?'}"
    rate = [] if cells.per_hour is None else [f"{cells.per_hour:.0f} per hour"]
    failed = [f"{len(cells.failed)} failed"] if cells.failed else []
    return ", ".join([visible(on), *failed, *rate])


def _show_plan(plan: PlanStanding, console: Console, alone: bool) -> None:
    for line in _about(plan, alone):
        say(console, visible(line))


def _about(plan: PlanStanding, alone: bool) -> Iterator[str]:
    said = []
    if not alone and plan.cells is not None:
        said.append(counts(plan.cells))
    if plan.jobs is not None:
        engine, _, jobs = plan.jobs.partition(" ")
        said.append(f"submitted to {engine}" + (f", job {jobs}" if jobs else ""))
    if plan.cancelled is not None:
        said.append(f"cancelled ({plan.cancelled})")
    if plan.problem is not None:
        said.append(f"not shown: {plan.problem}")
    yield f"plan {plan.id}" + (f": {'; '.join(said)}" if said else "")
    for text in plan.refusals[:_LISTED]:
        yield f"  {text}"


def _running(underway: Sequence[Underway]) -> Table:
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    view.add_column("underway", overflow="fold")
    view.add_column("where", overflow="fold")
    view.add_column("for", justify="right", no_wrap=True)
    view.add_column("epoch", justify="right", no_wrap=True)
    for each in underway[:_LISTED]:
        where = "?" if each.host is None else named(each.host, each.job)
        if each.stale and each.silent is not None:
            where += f", silent for {clock(each.silent)}"
        ran = "" if each.seconds is None else clock(each.seconds)
        far = f"{each.epoch}/{each.entry.epochs}" if each.entry.epochs else ""
        view.add_row(*map(Text, (visible(each.entry.label), visible(where), ran, far)))
    return view


def _failed(failed: Failed) -> Iterator[str]:
    yield f"failed: {visible(failed.entry.label)}: {visible(failed.reason)}"
    yield f"  log: {failed.log}"


def _more(count: int, what: str, console: Console) -> None:
    if count > _LISTED:
        say(console, f"and {count - _LISTED} more {what} (--json lists all)")
