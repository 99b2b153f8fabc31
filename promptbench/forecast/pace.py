"""The pace of a method on a source: seconds per step and per image, from records of this machine.

What a step takes depends on the class list that is learned, so that a record speaks for its own
source dataset only.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from promptbench import records
from promptbench.core.class_sets import Labels
from promptbench.core.protocol import Source
from promptbench.errors import UserError
from promptbench.planning.cells import Cell
from promptbench.records import Record
from promptbench.running.lab.compute import Compute

Key = tuple[str, str, Labels | None, str]  # method, source, labels if not standard, weights' hash
_NEWEST = 4  # records of a method, a dataset and a protocol that are read


@dataclass(frozen=True)
class Pace:
    """Seconds per step of `batch` images and per scored image; bytes of what is learned.

    `solve`: seconds per training image of a method with a solver; None: not known, or no solver.
    """

    step: float
    batch: int
    per_image: float
    parameter_bytes: int
    from_record: bool
    solve: float | None = None

    def per_step(self, batch: int) -> float:
        """Seconds per step of another batch size; taken as proportional to it."""
        return self.step * batch / self.batch


def key_of(cell: Cell) -> Key:
    """What cells of one pace have in common."""
    return _key(cell.method.name, cell.leg.source, cell.weights_sha256)


def _key(method: str, source: Source, weights_sha256: str) -> Key:
    return method, source.key, source.labels, weights_sha256


def from_records(out: Path, compute: Compute, cells: Iterable[Cell]) -> dict[Key, Pace]:
    """The paces of cells in the records under `out` made on this device.

    Of a method and source dataset only the newest records under each protocol are read, so that a
    plan does not take the longer the more there are. Among several of one key, the one with the
    most steps counts; what is not a whole record is passed over, since a run computes it again.
    """
    device = compute.device_name
    wanted = {key_of(cell) for cell in cells}
    places = {(cell.method.name, cell.leg.source.dataset) for cell in cells}
    best: dict[Key, Record] = {}
    for path in sorted(path for place in places for path in _newest(out, *place)):
        try:
            r = records.read(path)
        except UserError:
            continue
        key = _key(r.method.name, r.leg.source, r.backbone.sha256)
        made_on = (r.environment.device, r.environment.precision)
        if made_on != (device, compute.precision) or key not in wanted:
            continue
        known = best.setdefault(key, r)
        if r.training.steps > known.training.steps:
            best[key] = r
    return {key: _pace_of(r) for key, r in best.items()}


def _newest(out: Path, method: str, dataset: str) -> list[Path]:
    """The files of the newest records of a method and source dataset, `_NEWEST` of each protocol
    and suite, where runs put them."""
    found: list[Path] = []
    for home in out.glob(f"*/*/{glob.escape(method)}"):
        with suppress(OSError), os.scandir(home) as entries:  # a file, or gone
            own = [each for each in entries if each.name.startswith(f"{dataset}-")]
            own.sort(key=lambda each: (each.stat().st_mtime_ns, each.name), reverse=True)
            found += [Path(each.path, records.RECORD) for each in own[:_NEWEST]]
    return found


def _pace_of(r: Record) -> Pace:
    images = sum(sum(target.total) for target in r.targets)
    steps, seconds = r.training.steps, r.training.seconds
    solved = steps == 0 and r.training.parameters_sha256 is not None
    return Pace(
        step=seconds / steps if steps else 0.0,
        batch=_batch_of(r),
        per_image=sum(target.seconds for target in r.targets) / max(images, 1),
        parameter_bytes=4 * r.method.learned_parameters,
        from_record=True,
        solve=seconds / max(len(r.source.keys), 1) if solved else None,
    )


def _batch_of(r: Record) -> int:
    """Images per step, as a record says; 1 where it says nothing that can be one."""
    size = r.training.recipe.get("batch_size", 1)
    return size if isinstance(size, int) and size >= 1 else 1


def between(fewest: tuple[int, Pace], most: tuple[int, Pace], n_classes: int) -> Pace:
    """The pace for a number of classes, on the line through those for two other numbers."""
    (low, few), (high, many) = fewest, most
    share = (n_classes - low) / (high - low) if high > low else 1.0

    def along(a: float, b: float) -> float:
        return a + share * (b - a)

    return Pace(
        step=along(few.per_step(many.batch), many.step),
        batch=many.batch,
        per_image=along(few.per_image, many.per_image),
        parameter_bytes=round(along(few.parameter_bytes, many.parameter_bytes)),
        from_record=False,
    )
