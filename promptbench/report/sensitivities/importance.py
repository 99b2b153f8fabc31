"""Which parameters explain the differences between trials: permutation importance on a random
forest (Breiman 2001). Needs the extra `probe` (scikit-learn)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from promptbench.errors import UserError
from promptbench.report.sensitivities.sensitivity import Sample
from promptbench.spaces import distributions
from promptbench.support.seeding import stream

LEAST = 8  # drawn trials, below which a forest says nothing
_TREES, _REPEATS = 300, 30


@dataclass(frozen=True)
class Importance:
    """How much the parameters of a method explain.

    Args:
        explained: R^2 of the forest on trials that its trees have not seen; near or below 0 the
            shares mean nothing.
        shares: of each parameter, by which R^2 falls when its values are permuted, and the standard
            deviation over permutations.
    """

    method: str
    explained: float
    shares: Mapping[str, tuple[float, float]]


def importance(sample: Sample) -> Importance | None:
    """The importance of a method's parameters; None of too few trials, or of trials that do not
    differ.

    Raises:
        UserError: scikit-learn is missing.
    """
    if len(sample.accuracies) < LEAST or len(set(sample.accuracies)) < 2:
        return None
    try:
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.inspection import permutation_importance
    except ImportError as error:
        raise UserError(
            "which parameters matter needs the package scikit-learn: "
            "pip install 'promptbench-vlm[probe]'"
        ) from error
    seed = stream(0, "importance", sample.method) % 2**32
    places = _places(sample)
    forest = RandomForestRegressor(
        _TREES, min_samples_leaf=2, oob_score=True, random_state=seed, n_jobs=1
    )
    forest.fit(places, sample.accuracies)
    found = permutation_importance(
        forest, places, sample.accuracies, n_repeats=_REPEATS, random_state=seed, n_jobs=1
    )
    pairs = zip(found.importances_mean.tolist(), found.importances_std.tolist(), strict=True)
    shares = dict(zip(sample.names, pairs, strict=True))
    return Importance(sample.method, float(forest.oob_score_), shares)


def _places(sample: Sample) -> list[list[float]]:
    """Where each value stands in its distribution, in [0, 1]: what was drawn evenly."""
    own = {
        name: distributions.of_data(sample.space[name], [row[number] for row in sample.values])
        for number, name in enumerate(sample.names)
    }
    return [
        [own[name].place(value) for name, value in zip(sample.names, row, strict=True)]
        for row in sample.values
    ]
