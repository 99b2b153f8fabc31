"""Computing a record's cell again, from the record alone."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptbench import records
from promptbench.errors import UserError
from promptbench.lab.compute import resolve
from promptbench.planning.plan import Plan
from promptbench.records import Record
from promptbench.registry import PROTOCOLS
from promptbench.reproduction.cells import Machine, cell_of, request_of
from promptbench.reproduction.verdict import Verdict, compare
from promptbench.running.runner import run_plans
from promptbench.stopping import thrown_away
from promptbench.storage.files import ensure_writable


def reproduce(
    path: Path,
    machine: Machine | None = None,
    *,
    tolerance: float = 0.5,
    out: str | None = None,
    quiet: bool = False,
) -> Verdict:
    """Run the cell of a record (its file or folder) and compare.

    `tolerance` is in points of accuracy per target.

    Raises:
        UserError: a tolerance that is no number from 0 on, a method, protocol, data set or weights
            that are not here, or settings in the record that this version does not know.
    """
    if not 0 <= tolerance < math.inf:  # nan is neither
        raise UserError(f"--tolerance must be points of accuracy from 0 on, not {tolerance}")
    old = records.read(_record_in(path) if path.is_dir() else path)
    with thrown_away(), _folder(out) as folder:  # the next time takes another folder
        new = _computed_again(old, folder, machine or Machine(), quiet)
    return compare(old, new, tolerance)


def _record_in(folder: Path) -> Path:
    """The record of a cell's folder; of a folder above it, one is named."""
    if not (folder / records.RECORD).is_file():
        first = records.find_some([folder])[0]
        raise UserError(f"{folder} is not the folder of one cell; give a record, such as {first}")
    return folder / records.RECORD


def _computed_again(old: Record, folder: Path, machine: Machine, quiet: bool) -> Record:
    request = request_of(old, folder, machine, quiet)
    suite = request.resolved_suite()
    compute = resolve(request.device, request.precision)
    config_file = folder / "record.gin"
    config_file.write_text(old.config, encoding="utf-8")
    cell = cell_of(old, request, config_file)
    protocol = PROTOCOLS.load(old.protocol.name).cls()
    plan = Plan(suite, old.protocol.name, protocol, (cell.leg,), (cell,), folder)
    return run_plans([plan], request, compute)[0]


@contextmanager
def _folder(out: str | None) -> Iterator[Path]:
    """A folder without earlier cells or trainings in it."""
    if out is not None:
        ensure_writable(Path(out))
        yield Path(tempfile.mkdtemp(prefix="reproduction-", dir=out))
        return
    with tempfile.TemporaryDirectory(prefix="reproduction-") as name:
        yield Path(name)
