"""What this machine cannot compute as it was asked to: the same cell again, in another way.

Some operations have no deterministic implementation on a GPU, and compiled code can fail where the
code itself does not. Neither is the method's fault, and its cell can be computed all the same.

Out of GPU memory, the cell is computed with less of it in memory at a time: class chunks recompute
activations, evaluation batches are independent of each other, and images augmented on the host are
the same, so that the numbers stay what they are, up to the order of sums: predictions of smaller
batches may differ in last digits. Batches of training steps are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from promptbench.errors import UserError, one_line
from promptbench.models.gpu_errors import is_lost, is_out_of_memory
from promptbench.planning.cells import Cell
from promptbench.records import Record
from promptbench.running.cell import run_cell
from promptbench.running.lab import Lab, arithmetic

_NOT_DETERMINISTIC = " does not have a deterministic implementation"  # in torch's message
_SMALLER = ((64, 25), (16, 8), (4, 2), (1, 1))  # class prompts, images to evaluate


def run_cell_somehow(cell: Cell, lab: Lab) -> Record:
    """`run_cell`; if it fails compiled then uncompiled, and if it must then not deterministically.

    The cell's listener hears of either. What has been trained is not trained again.
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


def within_memory(run: Callable[[Cell, Lab], Record], cell: Cell, lab: Lab) -> Record:
    """Compute a cell; while the GPU's memory does not suffice, with smaller pieces.

    Raises:
        UserError: it does not suffice for single pieces.
    """
    towers = lab.backbone.towers
    asked = towers.class_chunk
    reason = ""
    replays = lab.graphs and lab.compute.device.type == "cuda"
    try:
        for chunk, batch in _pieces(asked, lab.eval_batch, again=towers.is_compiled or replays):
            if reason:
                lab.listener.message(
                    f"{cell.label}: out of GPU memory; trying again {_how(chunk, batch, asked)}"
                )
            towers.class_chunk = chunk
            try:
                place = "host" if reason else lab.augment  # whose images take none of the GPU's
                graphs = lab.graphs and not reason  # whose memory nothing else can use
                return run(cell, replace(lab, eval_batch=batch, augment=place, graphs=graphs))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0].partition(". ")[0]
            lab.release_memory()  # outside the handler, whose traceback holds tensors
    finally:
        towers.class_chunk = asked
    raise UserError(
        f"out of GPU memory even with single class prompts and test images ({reason}); free the "
        "GPU, use --precision bf16, a larger GPU or --device cpu (a smaller Recipe.batch_size is "
        "another training)"
    )


def _how(chunk: int | None, batch: int, asked: int | None) -> str:
    if chunk == asked:
        return "without CUDA graphs, also those of what was computed before"
    return f"with {chunk} class prompts and {batch} test images at a time"


def _pieces(chunk: int | None, batch: int, again: bool = False) -> Iterator[tuple[int | None, int]]:
    """As asked (`again`: twice, with memory freed in between), then smaller and smaller."""
    yield chunk, batch
    if again:
        yield chunk, batch
    for fewer_prompts, fewer_images in _SMALLER:
        smaller = (min(fewer_prompts, chunk or fewer_prompts), min(fewer_images, batch))
        if smaller != (chunk, batch):
            yield smaller
