"""Pairs of an image of a learned (base) class and one of another (new) class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from promptbench.api import Answers


def in_order(answers: Answers, among: NDArray[np.bool_] | None = None) -> float | None:
    """Return the share of all pairs whose base image has more mass on the base names.

    Equal masses count half. Only images `among` those of a mask count as ordered, (images,); all
    pairs are counted in the whole. None where there are no images of one of the two kinds.
    """
    assert answers.learned is not None and answers.label is not None and answers.mass is not None
    base = answers.learned[answers.label]
    pairs = int(base.sum()) * int((~base).sum())
    if not pairs:
        return None
    counting = np.ones_like(base) if among is None else among
    of_base = answers.mass[base & counting]
    of_new = np.sort(answers.mass[~base & counting])
    below = np.searchsorted(of_new, of_base, side="left").sum()
    equal = np.searchsorted(of_new, of_base, side="right").sum() - below
    return float((below + equal / 2) / pairs)
