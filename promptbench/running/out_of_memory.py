"""Out of GPU memory: the same cell again, with less of it in memory at a time.

Class chunks recompute activations, evaluation batches are independent of each other, and images
augmented on the host are the same, so that the numbers stay what they are; batches of training
steps are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from promptbench.errors import UserError
from promptbench.gpu_errors import is_out_of_memory
from promptbench.lab import Lab
from promptbench.planning.plan import Cell
from promptbench.records import Record

_SMALLER = ((64, 25), (16, 8), (4, 2), (1, 1))  # class prompts, images to evaluate


def within_memory(run: Callable[[Cell, Lab], Record], cell: Cell, lab: Lab) -> Record:
    """Compute a cell; while the GPU's memory does not suffice, with smaller pieces.

    Raises:
        UserError: it does not suffice for single pieces.
    """
    towers = lab.backbone.towers
    asked = towers.class_chunk
    reason = ""
    try:
        for chunk, batch in _pieces(asked, lab.eval_batch, again=towers.is_compiled):
            if reason:
                lab.listener.message(
                    f"{cell.label}: out of GPU memory; trying again {_how(chunk, batch, asked)}"
                )
            towers.class_chunk = chunk
            try:
                place = "host" if reason else lab.augment  # whose images take none of the GPU's
                return run(cell, replace(lab, eval_batch=batch, augment=place))
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
        return "without the CUDA graphs of what was computed before"
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
