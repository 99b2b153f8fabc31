"""What torch could not do as asked on this machine: the same cell again, without it.

Some operations have no deterministic implementation on a GPU, and compiled code can fail where the
code itself does not. Neither is the method's fault, and its cell can be computed all the same.
"""

from __future__ import annotations

from promptbench.errors import one_line
from promptbench.gpu_errors import is_lost, is_out_of_memory
from promptbench.lab import Lab, arithmetic
from promptbench.planning.plan import Cell
from promptbench.records import Record
from promptbench.running.cell import run_cell

_NOT_DETERMINISTIC = " does not have a deterministic implementation"  # in torch's message


def run_cell_somehow(cell: Cell, lab: Lab) -> Record:
    """`run_cell`; if it fails compiled then uncompiled, and if it must then not deterministically.

    The cell's listener is told of either. What has been trained is not trained again.
    """
    towers = lab.backbone.towers
    try:
        return _deterministically_if_possible(cell, lab)
    except RuntimeError as error:
        if not towers.is_compiled or is_out_of_memory(error) or is_lost(lab.compute.device):
            raise
        lab.listener.message(
            f"{cell.label}: failed compiled, trying without --compile: {one_line(error)}"
        )
    lab.release_memory()  # outside the handler, whose traceback holds tensors
    with towers.uncompiled():
        record = _deterministically_if_possible(cell, lab)
    towers.uncompile()  # only now is it known that the method is not to blame
    return record


def _deterministically_if_possible(cell: Cell, lab: Lab) -> Record:
    try:
        return run_cell(cell, lab)
    except RuntimeError as error:
        operation, told, _ = str(error).partition(_NOT_DETERMINISTIC)
        if not told:
            raise
        lab.listener.message(
            f"{cell.label}: {operation} has no deterministic implementation on this device; going "
            "on without, so that another run can differ in the last digits"
        )
    with arithmetic.not_deterministic():
        return run_cell(cell, lab)
