"""How measures of the field go with accuracy: rank correlations, and permutations of methods.

Seeds of one method are alike, so that runs are not independent: the unit of the test is a method
with all its seeds. What could have come out otherwise is which method has which accuracies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, Any

from promptbench.analysis.field import PARTS
from promptbench.analysis.rows import Number, select
from promptbench.core.metric import DEFAULT
from promptbench.support.seeding import generator

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

CORRELATED = (
    "mean_cosine",
    "new_to_base",
    "magnitude_ratio",
    "new_magnitude",
    "shared_new",
    "subspace",
)
OVER_RUNS = "all runs"  # the title of rows that are about several runs
FEWEST = 3  # units of a permutation test; two have p = 0.5 at best
_ALL_OF = 8  # units, up to which every order is looked at: 40,320
_DRAWN = 20_000  # orders of more
_TIE = 1e-9  # between equal sums, rounding

Values = Mapping[tuple[str, int | None], float]  # by method and seed


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho over n runs of so many methods; p is None where no test is possible."""

    rho: float
    n: int
    methods: int
    p: float | None


def correlations(rows: Sequence[Number]) -> list[Number]:
    """How measures of the field go with accuracy on new classes, over the runs of one dataset.

    Rows of all runs (methods and seeds), of the field of features itself: `spearman`, the numbers
    `n` of runs and `methods`, and `p` where there is one (see `rank_correlation`).
    """
    final = [row for row in rows if row.epoch is None and not row.item and row.seed is not None]
    found = []
    places = dict.fromkeys((r.dataset, r.target, r.part) for r in final if r.part in PARTS)
    for dataset, target, part in places:
        here = select(final, dataset=dataset, target=target)
        accuracy = _by_run(select(here, quantity=DEFAULT))
        for measure in CORRELATED:
            result = rank_correlation(_by_run(select(here, part=part, quantity=measure)), accuracy)
            if result is None:
                continue
            make = partial(Number, OVER_RUNS, "", dataset, None, None, target, part, None, measure)
            found += [make("spearman", result.rho), make("n", float(result.n))]
            found += [make("methods", float(result.methods))]
            found += [make("p", result.p)] if result.p is not None else []
    return found


def rank_correlation(a: Values, b: Values) -> RankCorrelation | None:
    """Spearman's rank correlation over runs, and a two-sided p by permuting whole methods.

    Runs count whose seed all methods have; without such a seed all runs do, and there is no p. p
    is the share of orders of the methods, each with all its seeds, whose |rho| is at least that
    found: of all orders up to 8 methods, of 20,000 drawn with a fixed seed beyond. With one method
    its seeds are permuted. Fewer than 3 have no p. None with fewer than three runs, or where one
    side does not vary.
    """
    runs = [run for run in a if run in b and not math.isnan(a[run]) and not math.isnan(b[run])]
    methods = list(dict.fromkeys(method for method, _ in runs))
    seeds = [seed for seed in dict.fromkeys(s for _, s in runs) if _shared(seed, methods, runs)]
    if seeds:
        runs = [(method, seed) for method in methods for seed in seeds]
    if len(runs) < 3 or any(len({side[run] for run in runs}) < 2 for side in (a, b)):
        return None
    x, y = (_centred_ranks([side[run] for run in runs]) for side in (a, b))
    scale = math.sqrt(float(x @ x) * float(y @ y))
    units = len(methods) if len(methods) > 1 else len(runs)
    p = None
    if seeds and units >= FEWEST:
        p = _permuted(x.reshape(units, -1) @ y.reshape(units, -1).T)
    return RankCorrelation(float(x @ y) / scale, len(runs), len(methods), p)


def _permuted(products: Array) -> float:
    """The share of orders of the columns of [m, m] whose diagonal sums to at least as much.

    Entry (i, j) is what the ranks of unit i on one side and of unit j on the other add to rho.
    """
    import numpy as np

    m = len(products)
    if m <= _ALL_OF:
        orders = np.array(list(permutations(range(m))))
    else:
        rng = generator(0, "analysis", "correlation", m)
        orders = rng.permuted(np.tile(np.arange(m), (_DRAWN, 1)), axis=1)
    sums = np.abs(products[np.arange(m), orders].sum(axis=1))
    observed = abs(np.trace(products))
    extreme = int((sums >= observed - _TIE * max(1.0, observed)).sum())
    return extreme / len(orders) if m <= _ALL_OF else (extreme + 1) / (len(orders) + 1)


def _shared(
    seed: int | None, methods: Sequence[str], runs: Sequence[tuple[str, int | None]]
) -> bool:
    return all((method, seed) in runs for method in methods)


def _centred_ranks(values: Sequence[float]) -> Array:
    """Ranks, those of equal values averaged, about their mean."""
    from scipy.stats import rankdata

    ranks = rankdata(values)
    centred: Array = ranks - ranks.mean()
    return centred


def _by_run(rows: Sequence[Number]) -> dict[tuple[str, int | None], float]:
    return {(row.title, row.seed): row.value for row in rows}
