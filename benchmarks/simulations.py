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

import numpy as np
from scipy.special import ndtr

from benchmarks.simulated_tables import rules
from benchmarks.simulating import METHODS, SEEDS, Row, percent, rng
from promptbench.statistics import (
    ALPHA,
    Outcomes,
    crossed_interval,
    estimate,
    mean_ranks,
    propagated,
    resampled,
    signed_rank_test,
    t_p_values,
    wilson,
)

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


def wilson_of_mean(draws: int, seeds: int) -> float:
    """Coverage of the Wilson interval of a mean over seeds, each image counted once."""
    inside, generator = 0, rng(13, seeds)
    for _ in range(draws):
        outcomes, truth = World(seed=0.0).drawn(seeds, generator)
        low, high = wilson(100 * float(outcomes.correct[0].mean()), outcomes.labels.size)
        inside += low <= truth[0] <= high
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

    def drawn(self, seeds: int, generator: np.random.Generator) -> tuple[Outcomes, np.ndarray]:
        """Outcomes, and the true accuracies over all images of these classes and all seeds."""
        g = generator
        labels = np.repeat(np.arange(self.classes), self.images // self.classes)
        level = np.stack([g.normal(0.7, 0.4, self.classes) + shift for shift in (0.0, 0.2)])
        shape = (2, seeds, self.images)
        score = level[:, None, labels] + g.normal(0, self.difficulty, self.images)
        score = score + g.normal(0, self.own_difficulty, (2, 1, self.images))
        score = score + g.normal(0, self.seed, (2, seeds, 1)) + g.normal(0, self.noise, shape)
        parts = (self.difficulty, self.own_difficulty, self.seed, self.noise)
        share = ndtr(level / np.sqrt(sum(part**2 for part in parts))).mean(1)
        return Outcomes(labels, score > 0), 100 * share


def image_intervals(draws: int, seeds: int) -> tuple[float, float, float]:
    """Coverage of a difference over images and seeds: by the t interval over seeds, by seeds
    resampled as images are (percentiles), and by the interval of `compare`."""
    inside, generator = np.zeros(3), rng(6, seeds)
    for _ in range(draws):
        outcomes, (a, b) = World().drawn(seeds, generator)
        own = 100 * outcomes.correct.mean(-1)
        differences = own[0] - own[1]
        again = resampled(outcomes, generator, 400)
        pair = again[:, 0] - again[:, 1]
        chosen = generator.integers(seeds, size=pair.shape)
        plain = np.quantile(np.take_along_axis(pair, chosen, 1).mean(1), (0.025, 0.975))
        over_seeds = estimate(float(differences.mean()), differences.tolist()).interval
        crossed = crossed_interval(pair.mean(1), differences.tolist())
        for i, ends in enumerate((over_seeds, plain, crossed)):
            inside[i] += ends is not None and ends[0] <= a - b <= ends[1]
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
    for seeds in SEEDS:
        share = wilson_of_mean(draws, seeds)
        yield (f"Wilson, a mean over {seeds} seeds, 400 images of 10 classes", percent(share))
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
    yield ("over datasets", *(f"{n} datasets" for n in many))
    for effect in (0, 1):
        name = "power, 1 deviation" if effect else "size"
        found = (percent(signed_rejects(4 * draws, n, effect)) for n in many)
        yield (f"signed-rank test, {name}", *found)


def diagrams(draws: int) -> Iterator[Row]:
    """Friedman's test and Nemenyi's critical difference over 11 datasets."""
    yield ("critical-difference diagram, 11 datasets", *(f"{k} methods" for k in METHODS))
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
            yield ("Nemenyi separates any two, no difference", *map(percent, apart))
        else:
            yield (f"Nemenyi separates first and middle, {name}", *map(percent, best))


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
