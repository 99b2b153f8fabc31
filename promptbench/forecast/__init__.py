"""What a run would take: cells, trainings and who shares them, time and disk. Nothing is trained.

Time comes from what was measured on this machine: seconds per step and per image in earlier
records of the same method, device and weights, else a few steps on random images whose results are
thrown away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from promptbench.data import cards, fewshot, store
from promptbench.forecast import stopwatch
from promptbench.forecast.stopwatch import Pace
from promptbench.planning import plan
from promptbench.planning.plan import Cell, Plan
from promptbench.planning.request import Request
from promptbench.running import compute, failures
from promptbench.running.compute import Compute

_RECORD_BYTES = 16_000  # a record with its log
_IMAGE_BYTES = 4  # a line of predictions, compressed
_UNKNOWN = Pace(step=0.0, batch=1, per_image=0.0, parameter_bytes=0, from_record=False)


@dataclass
class Share:
    """What one method takes under one protocol."""

    protocol: str
    method: str
    cells: int = 0
    done: int = 0
    failed: int = 0
    trainings: int = 0
    shared: int = 0
    seconds: float = 0.0
    bytes: int = 0

    @property
    def pending(self) -> int:
        return self.cells - self.done - self.failed


@dataclass(frozen=True)
class Forecast:
    """The shares of all plans, what they were estimated from, and what is to be prepared first.

    `unknown` are methods that raise where they are measured, each with the reason.
    """

    shares: tuple[Share, ...]
    unprepared: tuple[str, ...]
    from_records: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
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
    out = Path(first.out)
    pending = [cell for made in plans for cell in made.pending()]
    if not first.retry_failed:
        pending = failures.not_failed(pending, out)
    paces, broken = _paces(plans, pending, first, resolved)
    recorded = {name for name, pace in paces.items() if pace.from_record}
    return Forecast(
        shares=tuple(_shares(plans, {cell.id for cell in pending}, paces)),
        unprepared=tuple(_unprepared(plans, first)),
        from_records=tuple(sorted(recorded)),
        measured=tuple(sorted(set(paces) - recorded)),
        unknown=tuple(f"{name} ({reason})" for name, reason in sorted(broken.items())),
        left_out=tuple(dict.fromkeys(name for made in plans for name in made.left_out)),
        out=out,
    )


def _paces(
    plans: Sequence[Plan], pending: Sequence[Cell], request: Request, resolved: Compute
) -> tuple[dict[str, Pace], dict[str, str]]:
    """The pace of each pending method: from records, else measured on its largest cell.

    The second are those that cannot be measured, with the reason.
    """
    if not pending:
        return {}, {}
    paces = stopwatch.from_records(Path(request.out), pending[0], resolved)
    missing: dict[str, Cell] = {}
    for cell in pending:
        name = cell.method.name
        if name not in paces and _n_steps(cell) >= _n_steps(missing.get(name, cell)):
            missing[name] = cell
    broken: dict[str, str] = {}
    if missing:
        suite = plans[0].suite
        threads = suite.threads if request.backbone is None else None
        measured, broken = stopwatch.measure(missing, suite, resolved, threads)
        paces |= measured
    named = {cell.method.name for cell in pending}
    return {name: pace for name, pace in paces.items() if name in named}, broken


def _shares(
    plans: Iterable[Plan], pending: Collection[str], paces: Mapping[str, Pace]
) -> list[Share]:
    found: dict[tuple[str, str], Share] = {}
    trained: set[str] = set()
    for made in plans:
        done = {cell.id for cell in made.done()}
        for cell in made.cells:
            key = (made.protocol_name, cell.method.name)
            share = found.setdefault(key, Share(*key))
            share.cells += 1
            if cell.id in pending:
                _add(share, cell, made.out, paces.get(cell.method.name, _UNKNOWN), trained)
            elif cell.id in done:
                share.done += 1
            else:
                share.failed += 1
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
