"""What a table of predictions says, held against what probabilities allow.

All functions raise a ValueError that names the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SLACK = 2e-4  # of what follows from several rounded numbers

Columns = Mapping[str, NDArray[Any]]


def refuse_outside(columns: Columns, classes: int) -> None:
    """Refuse labels of classes that there are not."""
    for name in ("label", "predicted"):
        outside = (columns[name] < 0) | (columns[name] >= classes)
        _refuse(outside, f"a label is not one of {classes} classes")


def refuse_repeated(keys: Sequence[str]) -> None:
    """Refuse images that stand there twice."""
    if len(set(keys)) == len(keys):
        return
    seen: set[str] = set()
    for place, key in enumerate(keys):
        if key in seen:
            raise ValueError(f"line {place + 2}: the key {key!r} occurs twice")
        seen.add(key)


def _refuse(wrong: NDArray[np.bool_], why: str) -> None:
    if wrong.any():
        raise ValueError(f"line {int(wrong.argmax()) + 2}: {why}")


def complete(own: dict[str, NDArray[Any]]) -> None:
    """Fill in the losses that follow from confidences."""
    right = own["label"] == own["predicted"]
    _refuse(np.isnan(own["log_loss"]) != right, "log_loss is empty where predicted is label")
    _refuse(~(own["confidence"] > 0), "confidence is not above 0")
    own["log_loss"] = np.where(right, np.abs(np.log(own["confidence"])), own["log_loss"])


def refuse_impossible(own: Columns, classes: int) -> None:
    """Refuse numbers that no probabilities give."""
    confidence, rest, rank = own["confidence"], own["rest"], own["rank"]
    of_label, others = np.exp(-own["log_loss"]), 1 - own["confidence"]
    right = own["label"] == own["predicted"]
    unlike = (confidence > 1) | (confidence * classes < 1 - classes * _SLACK)
    _refuse(unlike, f"confidence is not the largest of {classes} probabilities")
    _refuse(~(rest <= others**2 + _SLACK), "rest is more than the other probabilities allow")
    _refuse((rank < 0) | (rank >= classes), f"rank is not one of {classes} places")
    _refuse((rank == 0) != right, "rank is 0 where, and only where, predicted is label")
    most = np.where(right, 1.0, np.minimum(np.minimum(confidence, others), 1 / (rank + 1)))
    _refuse(of_label > most + _SLACK, "log_loss is less than confidence and rank allow")


def refuse_impossible_masses(own: dict[str, NDArray[Any]], learned: NDArray[np.bool_]) -> None:
    """Refuse masses on learned names that no probabilities give; `own` becomes true or false."""
    _refuse((own["own"] < 0) | (own["own"] > 1), "own is neither 0 nor 1")
    own["own"] = own["own"].astype(np.bool_)
    mass, right = own["mass"], own["label"] == own["predicted"]
    _refuse(~(mass <= 1), "mass is more than 1")
    _refuse(right & ~own["own"], "own is 0 where predicted is label")
    for place, p in (("predicted", own["confidence"]), ("label", np.exp(-own["log_loss"]))):
        room = np.where(learned[own[place]], mass, 1 - mass)
        _refuse(p > room + _SLACK, f"mass does not hold the probability of {place}")
