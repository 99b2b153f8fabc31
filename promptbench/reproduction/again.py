"""Computing a record's cell again, only from the record."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptbench import records
from promptbench.core.registry import PROTOCOLS
from promptbench.errors import UserError
from promptbench.planning import standing
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.records import Record
from promptbench.records.verify import are_counted
from promptbench.reproduction.answers import answers_differ
from promptbench.reproduction.cells import Whereabouts, cell_of, machine_of, request_of
from promptbench.reproduction.verdict import Reproduction, compare
from promptbench.running.lab.compute import resolve
from promptbench.running.session import run_plans
from promptbench.storage import reading
from promptbench.storage.files import ensure_writable
from promptbench.support.safe_text import shown_path
from promptbench.support.stopping import thrown_away


def reproduce(
    path: Path,
    machine: Machine | None = None,
    here: Whereabouts | None = None,
    *,
    tolerance: float = 0.5,
    out: str | None = None,
) -> Reproduction:
    """Run the cell of a record (its file or folder) and compare.

    Args:
        path: the record or its folder.
        machine: how to compute it; precision is the record's, and the folder is `out`.
        here: where data and weights lie, if not where the record says.
        tolerance: points of accuracy by which a target may differ.
        out: the folder in which the new record is kept; None: it is thrown away.

    Raises:
        UserError: predictions beside the record that do not give its counts; a tolerance that is
            not a number from 0 on; a method, protocol, dataset or weights that are not here; or
            settings in the record that this version does not know.
    """
    if not 0 <= tolerance < math.inf:  # nan is neither
        raise UserError(f"--tolerance must be points of accuracy from 0 on, not {tolerance}")
    place = _record_in(path) if reading.exists(path) and path.is_dir() else path
    old = records.read(place)
    are_counted(old, place.parent)
    with thrown_away(), _folder(out) as folder:  # the next time takes another folder
        asked = request_of(old, here or Whereabouts())
        new = _computed_again(old, asked, machine_of(old, machine or Machine(), folder))
        (made,) = records.find([folder])
        answers = {
            t.key: answers_differ((t, place.parent), (other, made.parent))
            for t in old.targets
            for other in new.targets
            if other.key == t.key
        }
    return compare(old, new, tolerance, answers)


def _record_in(folder: Path) -> Path:
    """The record of a cell's folder; of a folder above it, one is named."""
    if not reading.exists(folder / records.RECORD):
        first = records.find_some([folder])[0]
        raise UserError(
            f"{shown_path(folder)} is not the folder of one cell; give a record, such as "
            f"{shown_path(first)}"
        )
    return folder / records.RECORD


def _computed_again(old: Record, request: Request, machine: Machine) -> Record:
    banner = standing.of_records([old]).banner
    suite = request.resolved_suite().model_copy(update={"banner": banner})
    compute = resolve(machine.device, machine.precision)
    config_file = machine.out / "record.gin"
    config_file.write_text(old.config, encoding="utf-8")
    cell = cell_of(old, request, config_file)
    protocol = PROTOCOLS.load(old.protocol.name).cls()
    name, out = old.protocol.name, machine.out
    plan = Plan(suite, name, protocol, (cell.leg,), (cell,), out, root=request.root)
    return run_plans([plan], machine, compute)[0]


@contextmanager
def _folder(out: str | None) -> Iterator[Path]:
    """A folder without earlier cells or trainings in it."""
    if out is not None:
        ensure_writable(Path(out))
        yield Path(tempfile.mkdtemp(prefix="reproduction-", dir=out))
        return
    with tempfile.TemporaryDirectory(prefix="reproduction-") as name:
        yield Path(name)
