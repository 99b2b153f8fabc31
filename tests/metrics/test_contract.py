"""Every metric keeps the contract, and the contract notices what breaks it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.contract import metrics
from promptbench.core.metric import Answers, Metric
from promptbench.core.registry import METRICS

THEIRS = [Path(__file__).with_name(f"{name}.py") for name in ("balanced_accuracy", "worst_class")]


@pytest.mark.parametrize("name", METRICS.names())
def test_every_metric_keeps_the_contract(name: str) -> None:
    assert [v for v in metrics.checkup(METRICS.load(name), seed=5) if not v.held] == []


@pytest.mark.parametrize("path", THEIRS, ids=lambda path: path.stem)
def test_a_metric_of_somebody_else_is_checked_from_its_file(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 60
    found = CliRunner().invoke(main, ["check", str(path), "--seed", "3"])
    assert found.exit_code == 0 and f"{len(metrics.CHECKS)} of" in found.output
    assert "a method does" not in found.output  # what only a method's spy cannot see


class Good(Metric):
    """The share of images, as a base for what breaks one point."""

    short, unit, bounds, perfect = "good", "%", (0.0, 100.0), 100.0
    harmonic = binomial = True

    def value(self, answers: Answers) -> float | None:
        total = int(answers.total.sum())
        return 100 * int(answers.right.sum()) / total if total else None


calls = itertools.count()


class ListsItsBoundsWrongly(Good):
    bounds = (100.0, 0.0)


class HasAnUnknownDirection(Good):
    better = "up"  # type: ignore[assignment]


class HarmonicOfNegatives(Good):
    bounds = (-100.0, 100.0)


class IsNan(Good):
    def value(self, answers: Answers) -> float | None:
        return float(np.float64(100) * answers.right.sum() / np.float64(answers.total.sum()))


class LeavesItsBounds(Good):
    bounds = (0.0, 50.0)
    perfect, binomial = None, False


class FailsOnOneClass(Good):
    def value(self, answers: Answers) -> float | None:
        _ = answers.total[1]
        return super().value(answers)


class Counts(Good):
    perfect, binomial = None, False

    def value(self, answers: Answers) -> float | None:
        return float(next(calls) % 100)


class Sorts(Good):
    def value(self, answers: Answers) -> float | None:
        if answers.label is not None:
            answers.label.sort()
        return super().value(answers)


class LooksAtTheFirst(Good):
    binomial, perfect = False, None

    def value(self, answers: Answers) -> float | None:
        if answers.label is None or not len(answers.label):
            return None
        return float(answers.label[0] == answers.predicted[0])  # type: ignore[index]


class SaysCountsAndReadsLabels(Good):
    def value(self, answers: Answers) -> float | None:
        assert answers.label is not None
        return super().value(answers)


class IsPerfectBelow(Good):
    perfect = 90.0


class IsBinomialOfErrors(Good):
    better, perfect = "lower", 0.0

    def value(self, answers: Answers) -> float | None:
        value = super().value(answers)
        return None if value is None else 100 - value


FITS, BOUNDS, SAME, INPUT, ORDER, COUNTS, PERFECT, BINOMIAL = range(8)


@pytest.mark.parametrize(
    ("cls", "point"),
    [
        (ListsItsBoundsWrongly, FITS),
        (HasAnUnknownDirection, FITS),
        (HarmonicOfNegatives, FITS),
        (IsNan, BOUNDS),
        (LeavesItsBounds, BOUNDS),
        (FailsOnOneClass, BOUNDS),
        (Counts, SAME),
        (Sorts, INPUT),
        (LooksAtTheFirst, ORDER),
        (SaysCountsAndReadsLabels, COUNTS),
        (IsPerfectBelow, PERFECT),
        (IsBinomialOfErrors, BINOMIAL),
    ],
)
def test_the_contract_notices(cls: type[Metric], point: int) -> None:
    metric = cls()
    metric.title = cls.__name__
    with np.errstate(invalid="ignore"):
        verdicts = [metrics.verdict(check, metric, 5) for check in metrics.CHECKS]
    assert not verdicts[point].held, verdicts
    own = type("Own", (Good,), {"title": "Own"})()
    assert all(metrics.verdict(check, own, 5).held for check in metrics.CHECKS)
