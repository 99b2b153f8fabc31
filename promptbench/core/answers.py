"""What a method answered on test images: what metrics are computed from.

Counts per class are always there; labels of each image where predictions are at hand; what follows
from the method's probabilities where these predictions hold it (records from schema 2 on).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_DTYPES: dict[str, Any] = {
    "right": np.int64,
    "total": np.int64,
    "label": np.int64,
    "predicted": np.int64,
    "confidence": np.float64,
    "log_loss": np.float64,
    "square_loss": np.float64,
    "rank": np.int64,
    "mass": np.float64,
    "own": np.bool_,
    "learned": np.bool_,
}
LABELS = ("label", "predicted")
PROBABILITIES = ("confidence", "log_loss", "square_loss", "rank")
OPEN = ("mass", "own")
_PER_IMAGE = (*LABELS, *PROBABILITIES, *OPEN)


@dataclass(frozen=True)
class Answers:
    """What a method answered on the test images of a target, or of several that share their names.

    Labels count among the names that competed, from 0; a class may have no image. p is the softmax
    of the method's own logits, y an image's label. Arrays are read-only, floats float64; those of
    which nothing is known are None.

    Args:
        right: (classes,) how many images of each class were classified correctly.
        total: (classes,) how many images each class has.
        label: (images,) the label y of each image; None where only counts are at hand.
        predicted: (images,) the label that the method gave to each image; None as `label`.
        confidence: (images,) the largest p; None, as the next three, where predictions hold labels
            only (schema 1).
        log_loss: (images,) -ln p[y], from 0 to infinity.
        square_loss: (images,) the sum over classes of (p[k] - [k = y])^2, from 0 to 2.
        rank: (images,) how many names come before the image's own when sorted by p; 0 where it is
            classified correctly.
        mass: (images,) the sum of p over the names that were learned; None, as the next two, unless
            names that were not learned compete with them.
        own: (images,) whether y has the largest p among the names of its kind, learned or not.
        learned: (classes,) which names were learned.
    """

    right: Integers
    total: Integers
    label: Integers | None = None
    predicted: Integers | None = None
    confidence: Floats | None = None
    log_loss: Floats | None = None
    square_loss: Floats | None = None
    rank: Integers | None = None
    mass: Floats | None = None
    own: Flags | None = None
    learned: Flags | None = None

    @classmethod
    def of_counts(cls, right: Sequence[int], total: Sequence[int]) -> Answers:
        """Return answers of which only the counts per class are known."""
        return cls(_fixed("right", right), _fixed("total", total))

    @classmethod
    def of_predictions(cls, label: Any, predicted: Any, classes: int, **more: Any) -> Answers:
        """Return answers with their counts, from the labels of (images,) and `classes` names.

        `more` are further arrays by their names, as the class describes them.
        """
        given = {"label": label, "predicted": predicted, **more}
        arrays = {name: _fixed(name, values) for name, values in given.items()}
        labels = arrays["label"]
        right = np.bincount(labels[labels == arrays["predicted"]], minlength=classes)
        total = np.bincount(labels, minlength=classes)
        return cls(_fixed("right", right), _fixed("total", total), **arrays)

    @classmethod
    def of_probabilities(cls, label: Any, probabilities: Any, learned: Any = None) -> Answers:
        """Return answers with everything that follows from probabilities.

        Args:
            label: (images,) integers.
            probabilities: (images, classes); rows sum to 1. Of equal ones the first comes first.
            learned: (classes,) booleans, where names that were learned compete with others.
        """
        labels = np.asarray(label, dtype=np.int64).reshape(-1)
        p = np.asarray(probabilities, dtype=np.float64)
        images, classes = p.shape
        of_label = p[np.arange(images), labels]
        before = np.arange(classes) < labels[:, None]
        ahead = (p > of_label[:, None]) | ((p == of_label[:, None]) & before)
        with np.errstate(divide="ignore"):
            log_loss = np.abs(np.log(of_label))
        more: dict[str, Any] = {
            "confidence": p.max(axis=1) if images else [],
            "log_loss": log_loss,
            "square_loss": (p**2).sum(axis=1) - of_label**2 + (1 - of_label) ** 2,
            "rank": ahead.sum(axis=1),
        }
        if learned is not None:
            flags = np.asarray(learned, dtype=np.bool_)
            same_kind = flags[labels][:, None] == flags
            more |= {
                "mass": p[:, flags].sum(axis=1),
                "own": ~(ahead & same_kind).any(axis=1),
                "learned": flags,
            }
        predicted = p.argmax(axis=1) if images else []
        return cls.of_predictions(labels, predicted, classes, **more)

    def holds(self, names: Sequence[str]) -> bool:
        """Whether all arrays of these names are known."""
        return all(getattr(self, name) is not None for name in names)

    def taken(self, places: Any, names: Sequence[str] = _PER_IMAGE) -> Answers:
        """Return the answers on the images at `places`, (n,) integers; one may occur repeatedly.

        Of their arrays only those of `names`, which hold the labels.
        """
        known = {n: getattr(self, n)[places] for n in names if getattr(self, n) is not None}
        more = {} if self.learned is None else {"learned": self.learned}
        return Answers.of_predictions(**known, classes=len(self.total), **more)

    @staticmethod
    def joined(parts: Sequence[Answers]) -> Answers:
        """Return the answers on the images of all parts, which have the same names in one order.

        What one part lacks, the whole lacks.
        """
        if len(parts) == 1:
            return parts[0]
        found: dict[str, Any] = {
            "right": sum(part.right for part in parts),
            "total": sum(part.total for part in parts),
        }
        for name in _PER_IMAGE:
            arrays = [getattr(part, name) for part in parts]
            if all(array is not None for array in arrays):
                found[name] = np.concatenate(arrays)
        whole = Answers(**{name: _fixed(name, values) for name, values in found.items()})
        return replace(whole, learned=parts[0].learned)

    def certain(self) -> Answers:
        """Return the same images, all classified correctly with probability one."""
        perfect: dict[str, Any] = {
            "predicted": self.label,
            "confidence": 1.0,
            "log_loss": 0.0,
            "square_loss": 0.0,
            "rank": 0,
            "mass": None if self.learned is None else self.learned[self.label],
            "own": True,
        }
        changed = {
            name: _fixed(name, np.broadcast_to(values, np.shape(getattr(self, name))))
            for name, values in perfect.items()
            if getattr(self, name) is not None
        }
        return replace(self, right=self.total, **changed)


def _fixed(name: str, values: Any) -> Any:
    array = np.array(values, dtype=_DTYPES[name])
    array.flags.writeable = False
    return array
