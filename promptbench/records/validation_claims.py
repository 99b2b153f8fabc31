"""Whether what a record says of its validation set and of the epoch chosen by it can be true."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from typing import TYPE_CHECKING

from promptbench.core import selection
from promptbench.core.registry import BUILT_IN, SELECTIONS, Plugin
from promptbench.core.selection import Observation, Selection

if TYPE_CHECKING:
    from promptbench.records.infos import ValidationInfo
    from promptbench.records.record import Record


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


def problem_of_choice(record: Record) -> str | None:
    """Return what is wrong with the epoch that a record says its rule has chosen, recomputed by
    that rule from the record's losses and validation accuracies; None if nothing is, or if the rule
    does not come with promptbench.
    """
    held_out, title = record.validation, record.protocol.selection
    if held_out is None and title == selection.USUAL:
        return None
    rule = next((each for each in _built_in() if each.cls.title == title), None)
    if rule is None:
        return None
    learned = record.training.parameters_sha256 is not None
    if (held_out is not None) != (rule.cls.validates and learned):
        what = "no validation" if held_out is None else "validation images"
        return f"the record has {what}, which does not go with the selection rule {title!r}"
    if held_out is None or held_out.epoch is None or not record.training.epochs:
        return None
    again = rule.cls()
    told = zip(record.training.losses, held_out.accuracy, strict=False)
    for number, (losses, found) in enumerate(told):
        again.observe(Observation(number, dict(losses), dict, partial(float, found)))
    chosen = again.chosen_epoch()
    if chosen is not None and chosen + 1 != held_out.epoch:
        return (
            f"epoch {held_out.epoch} is said to be chosen; by its validation accuracies the "
            f"{title} is {chosen + 1}"
        )
    return None


def _built_in() -> list[Plugin[Selection]]:
    rules = map(SELECTIONS.load, SELECTIONS.names())
    return [rule for rule in rules if rule.provider == BUILT_IN]


def problem_beside(record: Record) -> str | None:
    """What does not fit between a record and its validation part; None if all does."""
    held_out, ended = record.validation, record.training.epochs
    if held_out is None:
        return None
    if len(held_out.accuracy) != max(ended, 1) or (held_out.epoch == 0) != (ended == 0):
        return f"validation has {len(held_out.accuracy)} accuracies for {ended} epochs"
    return None
