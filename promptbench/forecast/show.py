"""A forecast on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptbench.forecast.estimate import Forecast
from promptbench.forecast.shares import Share
from promptbench.support.prose import counted, say


def show(found: Forecast, console: Console) -> None:
    """Print a forecast."""
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    view.add_column("protocol, method", min_width=12, overflow="fold")
    for heading in ("cells", "done", "train", "share", "time", "disk"):
        view.add_column(heading, justify="right", no_wrap=True)
    last = None
    for share in found.shares:
        if share.protocol != last:
            view.add_row(Text(share.protocol, style="bold"))
        last = share.protocol
        counts = (share.cells, share.done, share.trainings, share.shared)
        amounts = (_time(share), size(share.bytes)) if share.pending else ("", "")
        view.add_row(*map(Text, (f"  {share.method}", *map(str, counts), *amounts)))
    console.print(view)
    for line in _summary(found):
        say(console, line)


def _time(share: Share) -> str:
    """How long the cells of a share take; of some of them if the time of others is not known."""
    if share.unpaced == share.pending:
        return "?"
    return f"{'> ' if share.unpaced or share.untimed else ''}{duration(share.seconds)}"


def _summary(found: Forecast) -> list[str]:
    cells = sum(share.cells for share in found.shares)
    done = sum(share.done for share in found.shares)
    failed = sum(share.failed for share in found.shares)
    pending = cells - done - failed
    lines = [f"{counted(cells, 'cell')}, {done} done, {pending} to compute -> {found.out}"]
    if failed:
        lines.append(f"{failed} failed before and are left alone without --retry-failed")
    if found.left_out:
        lines.append(f"left out: {'; '.join(found.left_out)}")
    if not pending:
        return [*lines, *found.notes]
    trainings = sum(share.trainings for share in found.shares)
    shared = sum(share.shared for share in found.shares)
    seconds = sum(share.seconds for share in found.shares)
    total = sum(share.bytes for share in found.shares)
    share = f"; {counted(shared, 'more cell')} {'uses' if shared == 1 else 'use'} a shared one"
    lines.append(counted(trainings, "training") + (share if shared else ""))
    sources = [
        f"{how} ({', '.join(names)})"
        for how, names in (
            ("earlier records", found.from_records),
            ("steps measured just now", found.measured),
        )
        if names
    ]
    if sources:
        by = f", of one process; {found.jobs} share them" if found.jobs > 1 else ""
        lines.append(f"about {duration(seconds)} on this machine{by}, from {' and '.join(sources)}")
    if found.whole:
        lines.append(
            "these act on the first block already, so that every step computes all blocks of the "
            f"tower, and none is shared between steps: {'; '.join(found.whole)}"
        )
    if found.unknown:
        lines.append(f"not counted, since it fails when it is tried: {'; '.join(found.unknown)}")
    if found.untimed:
        lines.append(f"its time is not known, and not counted: {'; '.join(found.untimed)}")
    lines.append(f"about {size(total)} of records, predictions and learned parameters")
    if found.unprepared:
        lines.append(f"to be prepared before: {', '.join(found.unprepared)}")
    return [*lines, *found.notes]


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes as a person says them."""
    unit = "kB" if count < 1e6 else "MB" if count < 1e9 else "GB"
    number = count / {"kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
