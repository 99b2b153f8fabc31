"""What a run would take: cells, trainings and who shares them, time and disk. Nothing is trained.

Time comes from what was measured on this machine: seconds per step and per image in earlier
records of the same method, source data set, device and weights, else a few steps on random images
whose results are thrown away. What a solver takes is known from records alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from promptbench.data import cards, fewshot, store
from promptbench.forecast import pace, stopwatch
from promptbench.forecast.pace import Key, Pace, key_of
from promptbench.forecast.stopwatch import Measured
from promptbench.method import has_solver
from promptbench.planning import plan
from promptbench.planning.plan import Cell, Plan
from promptbench.planning.request import Request
from promptbench.running import compute, failures, frozen_features
from promptbench.running.compute import Compute
from promptbench.running.training import is_trained

_RECORD_BYTES = 16_000  # a record with its log
_IMAGE_BYTES = 4  # a line of predictions, compressed
_UNKNOWN = Pace(step=0.0, batch=1, per_image=0.0, parameter_bytes=0, from_record=False)
_SOLVER = "its solver is timed by records of the same data set alone"


@dataclass
class Share:
    """What one method takes under one protocol; `untimed` trainings are in no `seconds`."""

    protocol: str
    method: str
    cells: int = 0
    done: int = 0
    failed: int = 0
    trainings: int = 0
    shared: int = 0
    untimed: int = 0
    seconds: float = 0.0
    bytes: int = 0

    @property
    def pending(self) -> int:
        return self.cells - self.done - self.failed


@dataclass(frozen=True)
class Forecast:
    """The shares of all plans, what they were estimated from, and what is to be prepared first.

    `unknown` are methods that raise where they are measured, `untimed` those that run but whose
    time is not known, each with the reason.
    """

    shares: tuple[Share, ...]
    unprepared: tuple[str, ...]
    from_records: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    untimed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    out: Path = field(default_factory=Path)


def forecast(requests: Sequence[Request]) -> Forecast:
    """The forecast of requests.

    Raises:
        UserError: what a run would raise before it computes.
    """
    frozen_features.bound_here()  # a run would refuse a wrong one
    first = requests[0]
    resolved = compute.resolve(first.device, first.precision)
    plans = plan.distinct([plan.build(request, resolved.precision) for request in requests])
    out = Path(first.out)
    pending = [cell for made in plans for cell in made.pending()]
    if not first.retry_failed:
        pending = failures.not_failed(pending, out)
    found = _paces(plans, pending, first, resolved)
    shares = _shares(plans, {cell.id for cell in pending}, found.paces)
    solvers = {s.method: _SOLVER for s in shares if s.untimed and s.method not in found.broken}
    origins = {(key[0], known.from_record) for key, known in found.paces.items()}
    return Forecast(
        shares=tuple(shares),
        unprepared=tuple(_unprepared(plans, first)),
        from_records=tuple(sorted(name for name, recorded in origins if recorded)),
        measured=tuple(sorted(name for name, recorded in origins if not recorded)),
        unknown=_reasons(found.broken),
        untimed=_reasons(solvers | found.crowded),
        left_out=tuple(dict.fromkeys(name for made in plans for name in made.left_out)),
        out=out,
    )


def _reasons(found: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name} ({reason})" for name, reason in sorted(found.items()))


def _paces(
    plans: Sequence[Plan], pending: Sequence[Cell], request: Request, resolved: Compute
) -> Measured:
    """The pace of each pending method and source: from records, else measured.

    Records do not say how the towers' passes were compiled or cut, so that they do not count where
    the request asks for it.
    """
    if not pending:
        return Measured()
    as_asked = request.compile or request.class_chunk is not None
    known = {} if as_asked else pace.from_records(Path(request.out), pending[0], resolved)
    missing = [cell for cell in pending if key_of(cell) not in known]
    found = stopwatch.measure(missing, plans[0], request, resolved) if missing else Measured()
    keys = {key_of(cell) for cell in pending}
    found.paces |= {key: known[key] for key in keys & known.keys()}
    return found


def _shares(
    plans: Iterable[Plan], pending: Collection[str], paces: Mapping[Key, Pace]
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
                _add(share, cell, made.out, paces.get(key_of(cell), _UNKNOWN), trained)
            elif cell.id in done:
                share.done += 1
            else:
                share.failed += 1
    return list(found.values())


def _add(share: Share, cell: Cell, out: Path, known: Pace, trained: set[str]) -> None:
    images = sum(_n_images(cell))
    share.seconds += images * known.per_image
    share.bytes += _RECORD_BYTES + images * _IMAGE_BYTES + known.parameter_bytes
    if not cell.recipe and not has_solver(cell.method.cls):
        return
    if cell.training_id in trained or is_trained(cell, out):
        share.shared += 1
        return
    trained.add(cell.training_id)
    share.trainings += 1
    share.bytes += known.parameter_bytes
    if cell.recipe:
        share.seconds += _n_steps(cell) * known.per_step(cell.recipe["batch_size"])
    elif known.solve is not None:
        share.seconds += _n_training_images(cell) * known.solve
    else:
        share.untimed += 1


def _n_training_images(cell: Cell) -> int:
    return cell.leg.source.shots * len(pace.source_labels(cell))


def _n_steps(cell: Cell) -> int:
    batches = max(_n_training_images(cell) // int(cell.recipe["batch_size"]), 1)
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
