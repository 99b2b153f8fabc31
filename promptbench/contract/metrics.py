"""The contract of metrics: what `promptbench check` asks of one, on predictions drawn at random.

A check returns what it measured or raises `Broken`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptbench.contract.verdicts import Broken, CheckResult, point_of, require
from promptbench.core.metric import Answers, Metric
from promptbench.core.registry import Plugin
from promptbench.errors import UserError
from promptbench.records.parts import value_of
from promptbench.records.scores import made

_DRAWS = 40
_CLOSE = 1e-9  # relative; sums in another order differ in their last digits

Draw = Callable[[], Iterator[Answers]]  # the same answers each time


def checkup(plugin: Plugin[Any], seed: int = 0, where: str | None = None) -> list[CheckResult]:
    """Whether every point of the contract holds for a metric.

    Args:
        seed: what answers are drawn from.
        where: the metric's name or file; it is not asked elsewhere.

    Raises:
        UserError: a metric that cannot be made.
    """
    metric = made(plugin.name)
    return [verdict(check, metric, seed) for check in CHECKS]


def drawn(seed: int) -> Iterator[Answers]:
    """Answers of all kinds, with probabilities and learned names: many and few images, sure and
    unsure, classes without any image, no other name than the learned ones, one class, no image."""
    rng = np.random.default_rng(seed)
    for number in range(_DRAWS):
        classes = int(rng.integers(1, 12))
        images = int(rng.integers(1, 200))
        with_images = rng.choice(classes, size=int(rng.integers(1, classes + 1)), replace=False)
        label = rng.choice(with_images, size=images)
        learned = np.arange(classes) < rng.integers(1, classes + 1)
        knows = rng.random(images) < rng.random()
        logits = rng.normal(size=(images, classes)) * rng.choice([0.1, 1.0, 5.0])
        logits[np.arange(images), label] += 3 * knows
        yield Answers.of_probabilities(label, _softmax(logits), learned)
        if number % 10 == 0:  # one image, one class, and none at all
            sure = np.eye(classes)[:1]
            yield Answers.of_probabilities([classes - 1], sure * 0.5 + 0.5 / classes, learned)
            yield Answers.of_probabilities([0, 0, 0], np.ones((3, 1)), [True])
            yield Answers.of_probabilities([], np.ones((0, classes)), learned)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = p / p.sum(axis=1, keepdims=True)
    return found


def what_it_says_of_itself_fits(metric: Metric, draw: Draw) -> str:
    """It says what it is called, its unit, direction, decimals and bounds."""
    mistake = metric.mistake()
    require(mistake is None, str(mistake))
    low, high = metric.bounds
    return f"{metric.heading}; from {low:g} to {high:g}"


def values_are_numbers_within_bounds_or_none(metric: Metric, draw: Draw) -> str:
    """Every value is a finite number within its bounds, or None, also without any image."""
    values = [_value(metric, answers) for answers in draw()]
    known = [value for value in values if value is not None]
    require(bool(known), "it is None on all answers")
    return (
        f"{len(known)} values from {min(known):.4g} to {max(known):.4g}, {values.count(None)} None"
    )


def the_same_answers_give_the_same_value(metric: Metric, draw: Draw) -> str:
    """The same answers give the same value, whatever was asked before."""
    there = [_value(metric, answers) for answers in draw()]
    back = [_value(metric, answers) for answers in reversed(list(draw()))][::-1]
    other = [_value(type(metric)(), answers) for answers in draw()]
    for again, how in ((back, "in another order of calls"), (other, "of another instance")):
        for a, b in zip(there, again, strict=True):
            require(a == b, f"{a} and {b} on the same answers, {how}")
    return f"equal on {len(there)} answers"


def answers_stay_as_they_are(metric: Metric, draw: Draw) -> str:
    """It does not change its input."""
    for answers in draw():
        known = {name: array for name, array in vars(answers).items() if array is not None}
        arrays = {name: array.copy() for name, array in known.items()}
        _value(metric, Answers(**arrays))  # these could be written to
        for name, array in arrays.items():
            require(np.array_equal(array, getattr(answers, name)), f"it changes `{name}`")
    return "unchanged"


def the_order_of_images_does_not_matter(metric: Metric, draw: Draw) -> str:
    """The order of the images does not matter."""
    rng, largest = np.random.default_rng(0), 0.0
    for answers in draw():
        mixed = answers.taken(rng.permutation(int(answers.total.sum())))
        largest = max(largest, _apart(metric, answers, mixed, "in another order of images"))
    return f"largest difference {largest:.1e}"


def counts_are_enough_where_it_says_so(metric: Metric, draw: Draw) -> str:
    """With `needs` "counts", it follows from the counts only."""
    if metric.needs != "counts":
        return f"it needs {metric.needs}"
    largest = 0.0
    for answers in draw():
        bare = Answers(answers.right, answers.total)
        largest = max(largest, _apart(metric, answers, bare, "from counts only"))
    return f"largest difference {largest:.1e}"


def perfect_predictions_are_best(metric: Metric, draw: Draw) -> str:
    """Perfect, certain predictions have the value that it states, and none are better."""
    if metric.perfect is None:
        return "it states no value for them"
    stated = float(metric.perfect)
    for answers in draw():
        value = _value(metric, answers.certain()) if answers.total.any() else None
        if value is not None:
            require(_near(value, stated), f"perfect predictions have {value}, stated is {stated}")
        value = _value(metric, answers)
        better = value is not None and metric.best([value, stated]) != stated
        require(not better or _near(value or 0.0, stated), f"{value} is better than {stated}")
    return f"{stated:g}"


def a_binomial_one_is_the_share_of_images(metric: Metric, draw: Draw) -> str:
    """With `binomial`, it is the share of all images that are classified correctly."""
    if not metric.binomial:
        return "it is another quantity"
    for answers in draw():
        images = int(answers.total.sum())
        value = _value(metric, answers) if images else None
        share = metric.whole * int(answers.right.sum()) / max(images, 1)
        require(value is None or _near(value, share), f"{value} where the share is {share}")
    return "it is"


Check = Callable[[Metric, Draw], str]
CHECKS: tuple[Check, ...] = (
    what_it_says_of_itself_fits,
    values_are_numbers_within_bounds_or_none,
    the_same_answers_give_the_same_value,
    answers_stay_as_they_are,
    the_order_of_images_does_not_matter,
    counts_are_enough_where_it_says_so,
    perfect_predictions_are_best,
    a_binomial_one_is_the_share_of_images,
)


def _value(metric: Metric, answers: Answers) -> float | None:
    images, classes = int(answers.total.sum()), len(answers.total)
    return value_of(metric, answers, f"{images} images of {classes} classes")


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=_CLOSE, abs_tol=_CLOSE)


def _apart(metric: Metric, one: Answers, other: Answers, how: str) -> float:
    a, b = _value(metric, one), _value(metric, other)
    if a is None or b is None:
        require(a == b, f"{a} and {b} {how}")
        return 0.0
    require(_near(a, b), f"{a} and {b} {how}")
    return abs(a - b)


def verdict(check: Check, metric: Metric, seed: int) -> CheckResult:
    """What comes out of one check, on answers drawn from the seed."""
    point = point_of(check)
    try:
        return CheckResult(point, True, check(metric, lambda: drawn(seed)))
    except (Broken, UserError) as error:
        return CheckResult(point, False, str(error))
