"""What the statistics of tables and comparisons hold, simulated: coverage, size and power.

    python -m benchmarks.simulations            # the tables of docs/statistics.md, minutes
    python -m benchmarks.simulations --draws 200

Seeded: the same tables each time. Methods, seeds and test images are drawn as `World` says; what is
tested are the functions that tables, `compare` and the leaderboard call.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from promptbench.statistics import (
    ALPHA,
    Outcomes,
    crossed_interval,
    estimate,
    holm,
    mean_ranks,
    propagated,
    resampled,
    signed_rank_test,
    t_p_values,
    wilson,
)

SEEDS = (3, 5, 10)
METHODS = (5, 10, 20)
COLUMNS = 12  # of a table: three data sets and their average, or one of the suite's halves
STEP = 3.0  # points between a method and the next in the power tables; the seeds' deviation is 1
Row = tuple[str, ...]


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([20260101, *key])


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


# --- intervals ----------------------------------------------------------------------------------


def seeds_interval(draws: int, seeds: int) -> float:
    """Coverage of the t interval over seeds of a mean accuracy (75, deviation 2)."""
    values = rng(1, seeds).normal(75, 2, (draws, seeds))
    found = [estimate(float(v.mean()), v.tolist()).interval for v in values]
    return float(np.mean([low <= 75 <= high for low, high in filter(None, found)]))


def hm(b: float, n: float) -> float:
    return 2 * b * n / (b + n)


def hm_interval(draws: int, seeds: int) -> float:
    """Coverage of the interval of an HM of mean base 90 and mean new 65 (deviations 2 and 6)."""
    base = rng(2, seeds).normal(90, 2, (draws, seeds))
    new = rng(3, seeds).normal(65, 6, (draws, seeds))
    truth, inside = hm(90, 65), 0
    for b, n in zip(base, new, strict=True):
        found = estimate(hm(b.mean(), n.mean()), hm(b, n).tolist()).interval
        inside += found is not None and found[0] <= truth <= found[1]
    return inside / draws


def wilson_coverage(draws: int, images: int, accuracy: float) -> float:
    """Coverage of the Wilson interval of one accuracy."""
    right = rng(4, images).binomial(images, accuracy / 100, draws)
    ends = [wilson(100 * r / images, images) for r in right]
    return float(np.mean([low <= accuracy <= high for low, high in ends]))


def propagated_coverage(draws: int, kind: str) -> float:
    """Coverage over images of the average of 11 test sets, or of the HM of two."""
    sizes = (100, 300, 800, 1500) if kind == "average" else (400, 400)
    truths = np.array([60, 75, 85, 95] if kind == "average" else [85, 60], dtype=float)

    def value(scores: dict[int, float]) -> float:
        own = list(scores.values())
        return sum(own) / len(own) if kind == "average" else hm(*own)

    inside = 0
    right = rng(5, len(sizes)).binomial(sizes, truths / 100, (draws, len(sizes)))
    truth = value(dict(enumerate(truths)))
    for found in 100 * right / np.array(sizes):
        scores = {i: float(x) for i, x in enumerate(found)}
        ends = {i: wilson(x, sizes[i]) for i, x in scores.items()}
        both = propagated(value, scores, ends)  # type: ignore[arg-type]
        inside += both is not None and both[0] <= truth <= both[1]
    return inside / draws


@dataclass(frozen=True)
class World:
    """Two methods on images of 10 classes: an image has its difficulty, a seed its strength, and
    each method adds a part of its own to both; correct is what is above zero."""

    images: int = 400
    classes: int = 10
    difficulty: float = 1.0
    own_difficulty: float = 0.5
    seed: float = 0.15
    noise: float = 0.3

    def drawn(self, seeds: int, generator: np.random.Generator) -> tuple[Outcomes, float]:
        """Outcomes, and the true difference over all images of these classes and all seeds."""
        g = generator
        labels = np.repeat(np.arange(self.classes), self.images // self.classes)
        level = np.stack([g.normal(0.7, 0.4, self.classes) + shift for shift in (0.0, 0.2)])
        shape = (2, seeds, self.images)
        score = level[:, None, labels] + g.normal(0, self.difficulty, self.images)
        score = score + g.normal(0, self.own_difficulty, (2, 1, self.images))
        score = score + g.normal(0, self.seed, (2, seeds, 1)) + g.normal(0, self.noise, shape)
        from scipy.special import ndtr

        parts = (self.difficulty, self.own_difficulty, self.seed, self.noise)
        share = ndtr(level / np.sqrt(sum(part**2 for part in parts))).mean(1)
        return Outcomes(labels, score > 0), float(100 * (share[0] - share[1]))


def image_intervals(draws: int, seeds: int) -> tuple[float, float, float]:
    """Coverage of a difference over images and seeds: by the t interval over seeds, by seeds
    resampled as images are (percentiles), and by the interval of `compare`."""
    inside, generator = np.zeros(3), rng(6, seeds)
    for _ in range(draws):
        outcomes, truth = World().drawn(seeds, generator)
        own = 100 * outcomes.correct.mean(-1)
        differences = own[0] - own[1]
        again = resampled(outcomes, generator, 400)
        pair = again[:, 0] - again[:, 1]
        chosen = generator.integers(seeds, size=pair.shape)
        plain = np.quantile(np.take_along_axis(pair, chosen, 1).mean(1), (0.025, 0.975))
        over_seeds = estimate(float(differences.mean()), differences.tolist()).interval
        crossed = crossed_interval(pair.mean(1), differences.tolist())
        for i, ends in enumerate((over_seeds, plain, crossed)):
            inside[i] += ends is not None and ends[0] <= truth <= ends[1]
    return tuple(inside / draws)  # type: ignore[return-value]


def intervals(draws: int) -> Iterator[Row]:
    yield ("95% interval", *(f"{n} seeds" for n in SEEDS))
    yield ("over seeds, a mean", *(percent(seeds_interval(10 * draws, n)) for n in SEEDS))
    yield ("over seeds, an HM", *(percent(hm_interval(10 * draws, n)) for n in SEEDS))
    compared = [image_intervals(draws, n) for n in SEEDS]
    for i, name in enumerate(
        (
            "seeds only, taken for one over images too",
            "seeds resampled like images (not used)",
            "seeds + images, of a difference",
        )
    ):
        yield (name, *(percent(found[i]) for found in compared))


def sampling(draws: int) -> Iterator[Row]:
    yield ("95% interval over test images", "covers")
    for images, accuracy in ((50, 95), (100, 60), (800, 75), (2500, 99)):
        share = wilson_coverage(20 * draws, images, accuracy)
        yield (f"Wilson, {images} images, {accuracy} % correct", percent(share))
    yield ("average of four test sets", percent(propagated_coverage(10 * draws, "average")))
    yield ("HM of two test sets", percent(propagated_coverage(10 * draws, "hm")))


# --- tests --------------------------------------------------------------------------------------


def t_rejects(draws: int, seeds: int, effect: float) -> float:
    """How often the paired t-test rejects, differences of deviation 1 around `effect`."""
    d = rng(7, seeds).normal(effect, 1, (20 * draws, seeds))
    return float((t_p_values(d) < ALPHA).mean())


def hm_rejects(draws: int, seeds: int) -> float:
    """How often the test of two methods' HMs rejects where these are equal (90, 65 and 75.5, 75.5
    with deviations 2 and 6, 3 and 3)."""
    g, truth = rng(8, seeds), hm(90, 65)
    a = (g.normal(90, 2, (20 * draws, seeds)), g.normal(65, 6, (20 * draws, seeds)))
    b = tuple(g.normal(truth, 3, (20 * draws, seeds)) for _ in range(2))
    centers = hm(a[0].mean(1), a[1].mean(1)) - hm(b[0].mean(1), b[1].mean(1))  # type: ignore[arg-type]
    return float((t_p_values(hm(*a) - hm(*b), centers) < ALPHA).mean())  # type: ignore[arg-type]


def counted_rejects(draws: int, seeds: int) -> float:
    """As `t_rejects` without an effect, of whole counts of 800 images with many equal ones."""
    d = rng(9, seeds).integers(-1, 2, (20 * draws, seeds)) / 8
    return float((t_p_values(d) < ALPHA).mean())


def signed_rejects(draws: int, datasets: int, effect: float) -> float:
    d = rng(10, datasets).normal(effect, 1, (draws, datasets))
    found = [signed_rank_test(row.tolist()).p for row in d]
    return float(np.mean([p is not None and p < ALPHA for p in found]))


def tests(draws: int) -> Iterator[Row]:
    yield ("paired t-test over seeds", *(f"{n} seeds" for n in SEEDS))
    yield ("size", *(percent(t_rejects(draws, n, 0)) for n in SEEDS))
    yield ("size, HM", *(percent(hm_rejects(draws, n)) for n in SEEDS))
    yield (
        "size, differences of -1, 0 or 1 image",
        *(percent(counted_rejects(draws, n)) for n in SEEDS),
    )
    for effect in (1, 2, 4):
        name = f"power, {effect} deviation{'s' if effect > 1 else ''} of the differences"
        yield (name, *(percent(t_rejects(draws, n, effect)) for n in SEEDS))


def dataset_tests(draws: int) -> Iterator[Row]:
    many = (3, 5, 11, 15)
    yield ("over data sets", *(f"{n} data sets" for n in many))
    for effect in (0, 1):
        name = "power, 1 deviation" if effect else "size"
        found = (percent(signed_rejects(4 * draws, n, effect)) for n in many)
        yield (f"signed-rank test, {name}", *found)


def diagrams(draws: int) -> Iterator[Row]:
    """Friedman's test and Nemenyi's critical difference over 11 data sets."""
    yield ("critical-difference diagram, 11 data sets", *(f"{k} methods" for k in METHODS))
    for name, step in (("no difference", 0.0), ("steps of 1 deviation", 1.0)):
        friedman, apart, best = [], [], []
        for k in METHODS:
            g = rng(11, k, int(step))
            found = [
                mean_ranks(g.normal(0, 1, (11, k)) + step * np.arange(k)) for _ in range(draws)
            ]
            friedman.append(np.mean([f.p < ALPHA for f in found]))
            spans = [max(f.ranks) - min(f.ranks) >= f.critical_difference for f in found]
            apart.append(np.mean(spans))
            gaps = [f.ranks[0] - f.ranks[k // 2] >= f.critical_difference for f in found]
            best.append(np.mean(gaps))
        yield (f"Friedman rejects, {name}", *map(percent, friedman))
        if not step:
            yield ("Nemenyi tells any two apart, no difference", *map(percent, apart))
        else:
            yield (f"Nemenyi tells first and middle apart, {name}", *map(percent, best))


# --- rules: daggers and ranks -------------------------------------------------------------------


def rejected(values: np.ndarray) -> np.ndarray:
    """(draws, columns, methods, methods): whether the second method is proven to lie above the
    first, with Holm over all pairs of all columns; of values (draws, columns, seeds, methods).

    The rule of `promptbench.statistics.families` in one piece; a test compares the two.
    """
    draws, columns, _, methods = values.shape
    pairs = np.array(list(combinations(range(methods), 2)))
    d = np.moveaxis(values[..., pairs[:, 0]] - values[..., pairs[:, 1]], 2, -1)
    p = holm(t_p_values(d).reshape(draws, -1)).reshape(draws, columns, len(pairs))
    proven = p <= ALPHA
    above = np.zeros((draws, columns, methods, methods), dtype=bool)
    first_wins = d.mean(-1) > 0
    above[:, :, pairs[:, 1], pairs[:, 0]] = proven & first_wins
    above[:, :, pairs[:, 0], pairs[:, 1]] = proven & ~first_wins
    return above


def with_best_only(values: np.ndarray) -> np.ndarray:
    """(draws,): whether any row is separated, if only pairs with the best were counted by Holm."""
    draws = len(values)
    best = values.mean(2).argmax(-1)
    top = np.take_along_axis(values, best[:, :, None, None], -1)
    p = t_p_values(np.moveaxis(top - values, 2, -1))
    result: np.ndarray = (np.nan_to_num(holm(p.reshape(draws, -1)), nan=1.0) <= ALPHA).any(-1)
    return result


def overlap(values: np.ndarray) -> np.ndarray:
    """(draws, methods, methods) of one column: whether intervals over seeds do not overlap, which
    is what ranks and bold were made of before."""
    seeds = values.shape[1]
    half = stdtrit(seeds - 1, 0.975) * values.std(1, ddof=1) / np.sqrt(seeds)
    low, high = values.mean(1) - half, values.mean(1) + half
    result: np.ndarray = low[:, None, :] > high[:, :, None]
    return result


def table(draws: int, columns: int, seeds: int, methods: int, step: float) -> np.ndarray:
    """Values (draws, columns, seeds, methods): the first method is best, the others follow in
    steps; deviations of seeds between 0.5 and 2, and of each seed in common 1."""
    g = rng(12, columns, seeds, methods, round(10 * step))
    deviations = g.uniform(0.5, 2, (draws, columns, 1, methods)) / 1.25
    common = g.normal(0, 1, (draws, columns, seeds, 1))
    own = g.normal(0, 1, (draws, columns, seeds, methods)) * deviations
    return 70 + common + own - step * np.arange(methods)


def rules(draws: int) -> Iterator[Row]:
    settings = [(s, m) for m in METHODS for s in SEEDS]
    yield ("rule", *(f"{m} methods, {s} seeds" for s, m in settings))
    null = [table(draws, COLUMNS, s, m, 0) for s, m in settings]
    some = [table(draws, COLUMNS, s, m, STEP) for s, m in settings]
    yield (
        f"‡ size: any in a table of {COLUMNS} columns, no difference",
        *(percent(separated(rejected(v), v).any((1, 2)).mean()) for v in null),
    )
    yield (
        "the same, if Holm counted pairs with the best only (not used)",
        *(percent(with_best_only(v).mean()) for v in null),
    )
    for place, name in ((1, "second"), (4, "fifth")):
        yield (
            f"‡ power: the {name} of a column, {place * STEP:.0f} points below the best",
            *(percent(separated(rejected(v), v)[:, :, place].mean()) for v in some),
        )
    yield (
        "bold: is the best the true one, 3 points above the next",
        *(percent((v.mean(2).argmax(-1) == 0).mean()) for v in some),
    )
    one, ranked = [v[:, :1] for v in null], [v[:, :1] for v in some]
    yield (
        "ranks, size: any pair ordered, no difference",
        *(percent(rejected(v).any((1, 2, 3)).mean()) for v in one),
    )
    yield (
        "the same by intervals that do not overlap (before)",
        *(percent(overlap(v[:, 0]).any((1, 2)).mean()) for v in one),
    )
    yield (
        "ranks: all true places inside the ranges",
        *(percent(inside(rejected(v)).mean()) for v in ranked),
    )
    yield (
        "ranks, power: pairs ordered",
        *(
            percent(rejected(v).any(1).sum((1, 2)).mean() / (m * (m - 1) / 2))
            for v, (_, m) in zip(ranked, settings, strict=True)
        ),
    )
    yield (
        "the same by intervals that do not overlap (before)",
        *(
            percent(overlap(v[:, 0]).sum((1, 2)).mean() / (m * (m - 1) / 2))
            for v, (_, m) in zip(ranked, settings, strict=True)
        ),
    )


def separated(above: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(draws, columns, methods): whether the best of the column is proven to lie above."""
    best = values.mean(2).argmax(-1)
    result: np.ndarray = np.take_along_axis(above, best[:, :, None, None], -1)[..., 0]
    return result


def inside(above: np.ndarray) -> np.ndarray:
    """(draws,): whether each method's true place, its number, is left open to it."""
    methods = above.shape[-1]
    first, last = 1 + above[:, 0].sum(-1), methods - above[:, 0].sum(-2)
    truth = 1 + np.arange(methods)
    result: np.ndarray = ((first <= truth) & (truth <= last)).all(-1)
    return result


def markdown(rows: Iterator[Row]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    width = lines[0].count("|") - 1
    return "\n".join([lines[0], "|" + "---|" + "---:|" * (width - 1), *lines[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="tables drawn per number")
    draws = parser.parse_args().draws
    for rows in (intervals, sampling, tests, dataset_tests, diagrams, rules):
        print(markdown(rows(draws)), flush=True)
        print()


if __name__ == "__main__":
    main()
