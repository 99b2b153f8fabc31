"""The trials of a search: points of a Sobol sequence, drawn once, the same for everybody.

The sequence is shifted modulo 1 by one draw of the named random stream `tune` of the method, so
that different methods try different points (Cranley and Patterson 1976). A larger budget goes on
where a smaller one ended. Neither seeds of trainings, nor datasets, nor the machine play a part.
"""

from __future__ import annotations

import math
from typing import Any

from promptbench.spaces.space import Space
from promptbench.support.seeding import generator

_STREAM = 0  # the seed of the plan; trials are trained with seeds of their own


def drawn(space: Space, method: str, count: int) -> list[dict[str, Any]]:
    """The values of `count` trials, by the names of parameters.

    Args:
        space: of at least one parameter.
        method: the method's name, which names the stream.
    """
    names = list(space.parameters)
    return [
        {
            name: space.parameters[name].value(place)
            for name, place in zip(names, point, strict=True)
        }
        for point in points(len(names), method, count)
    ]


def points(dimensions: int, method: str, count: int) -> list[list[float]]:
    """`count` points of the unit cube [0, 1)^dimensions."""
    import numpy as np
    from scipy.stats import qmc

    if count < 1:
        return []
    shift = generator(_STREAM, "tune", method).random(dimensions)
    sequence = qmc.Sobol(dimensions, scramble=False).random_base2(math.ceil(math.log2(count)))
    found: list[list[float]] = np.mod(sequence[:count] + shift, 1.0).tolist()
    return found
