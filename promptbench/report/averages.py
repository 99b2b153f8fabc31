"""What a printed average is over: papers mix averages with and without the source dataset.

Nothing is assumed. An average is over a set of datasets if it is their mean, as far as the printed
decimals can tell; else over as many as the source says; else nobody knows.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

Place = tuple[str, str, str]  # dataset, split, shots
_HARMONIC = "hm"  # the split under which harmonic means are printed
_HALF_A_DIGIT_EACH = 1.06  # of the last digit: of the average's own rounding and of its numbers'
_ENOUGH = 5  # numbers that all end in 0 are printed with one digit less


def tolerance(values: Sequence[str]) -> float:
    """Return how far a mean of printed numbers may be from the printed mean, in their unit."""
    one_decimal = len(values) > _ENOUGH and all(value.endswith("0") for value in values)
    return (0.1 if one_decimal else 0.01) * _HALF_A_DIGIT_EACH


def counted(
    values: Mapping[Place, str],
    place: Place,
    members: Sequence[str],
    stated: Mapping[Place, int] | None = None,
) -> int | None:
    """Return how many datasets a printed average is over; None where nobody can tell.

    `values` are all numbers of one source's row, as text, by place; `place` is the average's own,
    `members` are the datasets that the protocol averages. A harmonic mean is over what the averages
    that it follows from are over: all others of the row. `stated` is what the source itself says.
    """
    dataset, split, shots = place
    if split == _HARMONIC:
        means = [p for p in values if (p[0], p[2]) == (dataset, shots) and p[1] != split]
        over = {counted(values, mean, members, stated) for mean in means}
        return over.pop() if len(over) == 1 else (stated or {}).get(place)
    printed = [d for d, of, n in values if (of, n) == (split, shots) and d != dataset]
    allowed = tolerance(list(values.values()))
    for some in (list(members), printed):
        own = [(name, split, shots) for name in some]
        if some and all(each in values for each in own):
            mean = statistics.fmean(float(values[each]) for each in own)
            if abs(mean - float(values[place])) <= allowed:
                return len(some)
    return (stated or {}).get(place)
