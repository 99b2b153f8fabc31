"""Whether what a record says of its validation set and of the epoch chosen by it can be true."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptbench.records.record import Record, ValidationInfo


def problem(held_out: ValidationInfo) -> str | None:
    """What does not fit within a validation part; None if all does."""
    keys, epochs = held_out.keys, len(held_out.accuracy)
    if len(keys) != held_out.images or len(set(keys)) != len(keys):
        return f"validation lists {len(set(keys))} keys of {held_out.images} images"
    if hashlib.sha256("\n".join(keys).encode()).hexdigest() != held_out.fingerprint:
        return "the fingerprint of validation is not that of its keys"
    for found in held_out.accuracy:
        right = found * held_out.images / 100
        if not math.isclose(right, round(right), abs_tol=1e-6):
            return f"an accuracy of {found} percent is none of {held_out.images} images"
    if held_out.epoch is not None and held_out.epoch > epochs:
        return f"epoch {held_out.epoch} is chosen of {epochs}"
    return None


def problem_beside(record: Record) -> str | None:
    """What does not fit between a record and its validation part; None if all does."""
    held_out, ended = record.validation, record.training.epochs
    if held_out is None:
        return None
    if len(held_out.accuracy) != max(ended, 1) or (held_out.epoch == 0) != (ended == 0):
        return f"validation has {len(held_out.accuracy)} accuracies for {ended} epochs"
    return None
