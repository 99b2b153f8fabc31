"""Each metric is what its source defines: closed forms, and independent computations on what
predictions hold."""

from __future__ import annotations

import importlib
import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as independent

from promptbench.core.metric import Answers
from promptbench.core.registry import METRICS
from promptbench.records import predictions
from promptbench.records.scores import load
from promptbench.running.predicting import probabilities

IMAGES, CLASSES, LEARNED = 400, 12, 7


def logits_of(seed: int, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (images, classes) float32 and labels; class 3 has no image."""
    rng = np.random.default_rng(seed)
    label = rng.choice([c for c in range(CLASSES) if c != 3], size=IMAGES)
    logits = spread * rng.normal(size=(IMAGES, CLASSES))
    logits[np.arange(IMAGES), label] += spread * rng.random(IMAGES) * 3
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(label)


def stored(logits: torch.Tensor, label: torch.Tensor) -> Answers:
    """The answers as they are read back from a predictions file."""
    learned = torch.arange(CLASSES) < LEARNED
    columns = probabilities.of_logits(logits, label, learned).numpy()
    names = probabilities.NAMES + probabilities.OPEN
    found = dict(zip(names, columns, strict=True)) | {"label": label.numpy()}
    found["predicted"] = found["predicted"].astype(np.int64)
    keys = [f"{i:05d}" for i in range(len(label))]
    places = list(range(LEARNED))
    data = predictions.encoded(predictions.Table(keys, found))
    return predictions.decoded(data, CLASSES, places, labels_only=False).answers(CLASSES, places)


def value(name: str, answers: Answers) -> float:
    found = load(name).value(answers)
    assert found is not None
    return found


CASES = [(seed, spread) for seed in range(3) for spread in (0.2, 1.0, 6.0)]


def expected_calibration_error(answers: Answers, bins: int = 15) -> float:
    """Guo et al., equation 3, bin by bin; an edge of four digits counts in the bin above."""
    assert answers.confidence is not None and answers.label is not None
    found = 0.0
    bin_of = [min(math.floor(c * bins + 1e-9), bins - 1) for c in answers.confidence]
    for m in range(bins):
        inside = [i for i, found_bin in enumerate(bin_of) if found_bin == m]
        if inside:
            right = (answers.label == answers.predicted)[inside]
            gap = abs(right.mean() - answers.confidence[inside].mean())
            found += len(inside) / len(answers.label) * gap
    return 100 * found


@pytest.mark.parametrize(("seed", "spread"), CASES)
def test_metrics_of_what_is_stored_are_those_of_independent_computations(
    seed: int, spread: float
) -> None:
    a = stored(*logits_of(seed, spread))
    assert a.label is not None and a.predicted is not None
    assert a.mass is not None and a.own is not None
    base = a.label < LEARNED
    there = np.unique(a.label)
    f1 = independent.f1_score(a.label, a.predicted, labels=there, average="macro", zero_division=0)
    pairs = [
        (float(a.mass[i] > a.mass[j]) + float(a.mass[i] == a.mass[j]) / 2) * a.own[i] * a.own[j]
        for i in np.flatnonzero(base)
        for j in np.flatnonzero(~base)
    ]
    expected = {
        "accuracy": 100 * independent.accuracy_score(a.label, a.predicted),
        "overall_accuracy": 100 * independent.accuracy_score(a.label, a.predicted),
        "mean_class_accuracy": 100
        * independent.recall_score(a.label, a.predicted, labels=there, average="macro"),
        "macro_f1": 100 * f1,
        "ece": expected_calibration_error(a),
        "auroc_base_new": 100 * independent.roc_auc_score(base, a.mass),
        "openworld_auc": 100 * float(np.mean(pairs)),
    }
    for name, number in expected.items():
        assert value(name, a) == pytest.approx(number, abs=1e-6), name


@pytest.mark.parametrize(("seed", "spread"), CASES)
def test_what_is_stored_gives_the_metrics_of_the_logits(seed: int, spread: float) -> None:
    """Rounding moves metrics by less than tables show; of methods that are sure of nearly every
    image (logits of 6 standard deviations), masses tie, which moves the AUROC a little."""
    logits, label = logits_of(seed, spread)
    p = logits.double().softmax(dim=-1).numpy()
    exact = Answers.of_probabilities(label.numpy(), p, np.arange(CLASSES) < LEARNED)
    truth = label.numpy()
    assert value("nll", exact) == pytest.approx(
        independent.log_loss(truth, p, labels=range(CLASSES)), abs=1e-9
    )
    squares = ((p - np.eye(CLASSES)[truth]) ** 2).sum(axis=1).mean()
    assert value("brier", exact) == pytest.approx(squares, abs=1e-12)
    top = independent.top_k_accuracy_score(truth, logits.numpy(), k=5, labels=range(CLASSES))
    assert value("top5", exact) == pytest.approx(100 * top)
    found = stored(logits, label)
    for name in ("accuracy", "top5", "macro_f1"):
        assert value(name, found) == pytest.approx(value(name, exact), abs=1e-9), name
    for name, most in (("nll", 5e-4), ("brier", 2e-4), ("auroc_base_new", 0.1)):
        assert value(name, found) == pytest.approx(value(name, exact), abs=most), name
    assert value("ece", found) == pytest.approx(value("ece", exact), abs=0.01)
    assert np.array_equal(found.own, exact.own)  # type: ignore[arg-type]


def answers(label: list[int], p: list[list[float]], learned: list[bool] | None = None) -> Answers:
    return Answers.of_probabilities(label, p, learned)


def test_ece_by_hand() -> None:
    """0.2 is the lower end of the fourth bin, 0.15 lies in the third, 1 in the last."""
    a = Answers.of_predictions(
        [0, 0, 0, 1],
        [0, 0, 1, 1],
        2,
        confidence=[0.95, 1.0, 0.2, 0.15],
        log_loss=[0.1] * 4,
        square_loss=[0.1] * 4,
        rank=[0, 0, 1, 0],
    )
    # bins: {0.95, 1} right, right; {0.2} wrong; {0.15} right
    assert value("ece", a) == pytest.approx(100 * (0.5 * 0.025 + 0.25 * 0.2 + 0.25 * 0.85))


def test_nll_and_brier_by_hand() -> None:
    a = answers([0, 1], [[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]])
    assert value("nll", a) == pytest.approx((-math.log(0.7) - math.log(0.25)) / 2)
    first, second = 0.09 + 0.04 + 0.01, 0.25 + 0.5625 + 0.0625
    assert value("brier", a) == pytest.approx((first + second) / 2)
    impossible = answers([1], [[1.0, 0.0]])
    assert load("nll").value(impossible) is None and value("brier", impossible) == 2.0


def test_top_five_needs_more_than_five_names() -> None:
    p = [[0.3, 0.2, 0.15, 0.15, 0.1, 0.1]]
    assert value("top5", answers([4], p)) == 100.0  # of equal ones the first comes first
    assert value("top5", answers([5], p)) == 0.0
    assert load("top5").value(answers([4], [[0.2] * 5])) is None


def test_base_against_new_by_hand() -> None:
    """Two base images, two new ones; masses 0.9, 0.5 against 0.5, 0.6."""
    learned = [True, True, False, False]
    p = [[0.9, 0.0, 0.1, 0.0], [0.3, 0.2, 0.3, 0.2], [0.4, 0.1, 0.3, 0.2], [0.6, 0.0, 0.1, 0.3]]
    a = answers([0, 1, 2, 3], p, learned)
    assert value("auroc_base_new", a) == pytest.approx(100 * (1 + 1 + 0.5 + 0) / 4)
    # The second base image is not the first of its half; both new ones are.
    assert value("openworld_auc", a) == pytest.approx(100 * (1 + 1) / 4)
    assert value("overall_accuracy", a) == 25.0
    for name in ("auroc_base_new", "openworld_auc"):
        assert load(name).value(answers([0, 1], p[:2], learned)) is None


def test_a_class_without_images_that_is_predicted_counts_only_against_the_others() -> None:
    a = Answers.of_predictions([0, 0, 1], [0, 2, 1], 3)
    assert value("macro_f1", a) == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert value("mean_class_accuracy", a) == pytest.approx(75.0)


def test_answers_are_joined_and_taken() -> None:
    logits, label = logits_of(4, 1.0)
    whole = stored(logits, label)
    parts = [whole.taken(np.arange(100)), whole.taken(np.arange(100, IMAGES))]
    again = Answers.joined(parts)
    for name, array in vars(whole).items():
        assert np.array_equal(array, getattr(again, name)), name
    bare = Answers.of_counts(whole.right.tolist(), whole.total.tolist())
    mixed = Answers.joined([whole, bare])
    assert mixed.label is None and mixed.total.sum() == 2 * IMAGES


@pytest.mark.parametrize("name", METRICS.names())
def test_a_metric_says_what_it_is(name: str) -> None:
    """Definition, source, direction and aggregation stand in the module's text."""
    module = importlib.import_module(METRICS.load(name).cls.__module__)
    text = " ".join((module.__doc__ or "").split())
    cls = METRICS.load(name).cls
    direction = "Higher" if cls.better == "higher" else "Lower"
    for part in ("Definition: ", "Source: ", f"{direction} is better", "over datasets the arithm"):
        assert part in text, part


def test_the_contract_draws_answers_of_every_kind() -> None:
    from promptbench.contract.metrics import drawn

    kinds = [(a.holds(["confidence", "mass"]), len(a.total)) for a in drawn(3)]
    assert {held for held, _ in kinds} == {True} and {n for _, n in kinds} >= {1, 6, 11}
    for a, b in itertools.zip_longest(drawn(3), drawn(3)):
        array: NDArray[np.float64] | None = a.confidence
        assert array is not None and np.array_equal(array, b.confidence)


def test_cards_name_metrics_that_are_there() -> None:
    from promptbench.data.cards import cards

    named = {name: cards.load(name).usual_metric for name in cards.names()}
    usual = {name for name, metric in named.items() if metric == "mean_class_accuracy"}
    assert usual == {"oxford_pets", "oxford_flowers", "caltech101", "fgvc_aircraft"}
    assert {metric for metric in named.values() if metric} <= set(METRICS.names())
    pets = cards.load("oxford_pets")
    assert pets.model_copy(update={"usual_metric": None}).digest == pets.digest
