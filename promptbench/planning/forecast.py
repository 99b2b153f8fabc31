"""What a run would take: cells, trainings and who shares them, time and disk. Nothing is trained.

Time comes from what was measured on this machine: seconds per step and per image in earlier
records of the same method, device and weights, else a few steps on random images whose results are
thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptbench.data import cards, fewshot, store
from promptbench.planning import plan, stopwatch
from promptbench.planning.plan import Cell, Plan
from promptbench.planning.request import Request
from promptbench.planning.stopwatch import Pace
from promptbench.running import compute
from promptbench.running.compute import Compute

_RECORD_BYTES = 16_000  # a record with its log
_IMAGE_BYTES = 4  # a line of predictions, compressed


@dataclass
class Share:
    """What one method takes under one protocol."""

    protocol: str
    method: str
    cells: int = 0
    done: int = 0
    trainings: int = 0
    shared: int = 0
    seconds: float = 0.0
    bytes: int = 0

    @property
    def pending(self) -> int:
        return self.cells - self.done


@dataclass(frozen=True)
class Forecast:
    """The shares of all plans, what they were estimated from, and what is to be prepared first."""

    shares: tuple[Share, ...]
    unprepared: tuple[str, ...]
    from_records: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    out: Path = field(default_factory=Path)


def forecast(requests: Sequence[Request]) -> Forecast:
    """The forecast of requests.

    Raises:
        UserError: what a run would raise before it computes.
    """
    first = requests[0]
    resolved = compute.resolve(first.device, first.precision)
    plans = plan.distinct([plan.build(request, resolved.precision) for request in requests])
    pending = [cell for made in plans for cell in made.pending()]
    paces = _paces(plans, pending, first, resolved)
    recorded = {name for name, pace in paces.items() if pace.from_record}
    return Forecast(
        shares=tuple(_shares(plans, paces)),
        unprepared=tuple(_unprepared(plans, first)),
        from_records=tuple(sorted(recorded)),
        measured=tuple(sorted(set(paces) - recorded)),
        left_out=tuple(dict.fromkeys(name for made in plans for name in made.left_out)),
        out=Path(first.out),
    )


def _paces(
    plans: Sequence[Plan], pending: Sequence[Cell], request: Request, resolved: Compute
) -> dict[str, Pace]:
    """The pace of each pending method: from records, else measured on its largest cell."""
    if not pending:
        return {}
    paces = stopwatch.from_records(Path(request.out), pending[0], resolved)
    missing: dict[str, Cell] = {}
    for cell in pending:
        name = cell.method.name
        if name not in paces and _n_steps(cell) >= _n_steps(missing.get(name, cell)):
            missing[name] = cell
    if missing:
        suite = plans[0].suite
        threads = suite.threads if request.backbone is None else None
        paces |= stopwatch.measure(missing, suite, resolved, threads)
    named = {cell.method.name for cell in pending}
    return {name: pace for name, pace in paces.items() if name in named}


def _shares(plans: Iterable[Plan], paces: Mapping[str, Pace]) -> list[Share]:
    found: dict[tuple[str, str], Share] = {}
    trained: set[str] = set()
    for made in plans:
        done = {cell.id for cell in made.done()}
        for cell in made.cells:
            key = (made.protocol_name, cell.method.name)
            share = found.setdefault(key, Share(*key))
            share.cells += 1
            if cell.id in done:
                share.done += 1
            else:
                _add(share, cell, made.out, paces[cell.method.name], trained)
    return list(found.values())


def _add(share: Share, cell: Cell, out: Path, pace: Pace, trained: set[str]) -> None:
    images = sum(_n_images(cell))
    share.seconds += images * pace.per_image
    share.bytes += _RECORD_BYTES + images * _IMAGE_BYTES + pace.parameter_bytes
    if not cell.recipe:
        return
    if cell.training_id in trained or (cell.training_folder(out) / "training.json").is_file():
        share.shared += 1
        return
    trained.add(cell.training_id)
    share.trainings += 1
    share.seconds += _n_steps(cell) * pace.per_step(cell.recipe["batch_size"])
    share.bytes += pace.parameter_bytes


def _n_steps(cell: Cell) -> int:
    if not cell.recipe:
        return 0
    per_epoch = cell.leg.source.shots * len(stopwatch.source_labels(cell))
    batches = max(per_epoch // int(cell.recipe["batch_size"]), 1)
    return int(cell.recipe["epochs"]) * batches


def _n_images(cell: Cell) -> list[int]:
    counts = []
    for target in cell.leg.targets:
        card = cards.load(target.dataset)
        share = len(fewshot.half_of(len(card.classes), target.classes)) / len(card.classes)
        counts.append(min(round(card.splits[target.split] * share), cell.limit or 10**9))
    return counts


def _unprepared(plans: Iterable[Plan], request: Request) -> list[str]:
    """Data sets whose shards are not there yet."""
    named = dict.fromkeys(name for made in plans for name in made.datasets())
    return [name for name in named if not store.is_prepared(cards.load(name), request.root)]


# --- showing ------------------------------------------------------------------------------------


def show(requests: Sequence[Request], console: Console) -> None:
    """Print the forecast of requests."""
    found = forecast(requests)
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    view.add_column("protocol", no_wrap=True)
    view.add_column("method", min_width=12, overflow="fold")
    for heading in ("cells", "done", "train", "share", "time", "disk"):
        view.add_column(heading, justify="right", no_wrap=True)
    last = None
    for share in found.shares:
        protocol, last = (share.protocol if share.protocol != last else ""), share.protocol
        counts = (share.cells, share.done, share.trainings, share.shared)
        amounts = (duration(share.seconds), size(share.bytes)) if share.pending else ("", "")
        view.add_row(*map(Text, (protocol, share.method, *map(str, counts), *amounts)))
    console.print(view)
    for line in _summary(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _summary(found: Forecast) -> list[str]:
    cells = sum(share.cells for share in found.shares)
    done = sum(share.done for share in found.shares)
    lines = [f"{cells} cells, {done} done, {cells - done} to compute -> {found.out}"]
    if found.left_out:
        lines.append(f"left out: {'; '.join(found.left_out)}")
    if cells == done:
        return lines
    trainings = sum(share.trainings for share in found.shares)
    shared = sum(share.shared for share in found.shares)
    seconds = sum(share.seconds for share in found.shares)
    total = sum(share.bytes for share in found.shares)
    lines.append(f"{trainings} trainings; {shared} more cells use a training that is shared")
    sources = [
        f"{how} ({', '.join(names)})"
        for how, names in (
            ("earlier records", found.from_records),
            ("steps measured just now", found.measured),
        )
        if names
    ]
    lines.append(f"about {duration(seconds)} on this machine, from {' and '.join(sources)}")
    lines.append(f"about {size(total)} of records, predictions and learned parameters")
    if found.unprepared:
        lines.append(f"to be prepared before: {', '.join(found.unprepared)}")
    return lines


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
