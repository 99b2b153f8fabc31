"""What is kept of logits: closed forms, infinite ones, ties, and any division into batches."""

from __future__ import annotations

import math

import pytest
import torch

from promptbench.running.predicting.probabilities import NAMES, OPEN, of_logits

INF = float("inf")


def kept(
    logits: list[list[float]], labels: list[int], learned: list[bool] | None = None
) -> dict[str, list[float]]:
    flags = None if learned is None else torch.tensor(learned)
    found = of_logits(torch.tensor(logits), torch.tensor(labels), flags).tolist()
    return dict(zip(NAMES + OPEN, found, strict=False))


def test_probabilities_by_hand() -> None:
    """Softmax of ln 6, ln 3, ln 1 is 0.6, 0.3, 0.1, whatever is added to all."""
    for shift in (0.0, -50.0, 1000.0):
        row = [math.log(6) + shift, math.log(3) + shift, math.log(1) + shift]
        found = kept([row, row], [1, 0], [True, False, False])
        expected = {
            "predicted": [0, 0],
            "confidence": [0.6, 0.6],
            "rest": [0.09 + 0.01] * 2,
            "log_loss": [-math.log(0.3), -math.log(0.6)],
            "rank": [1, 0],
            "mass": [0.6, 0.6],
            "own": [1, 1],  # 1 is the first of the names that were not learned
        }
        close = 1e-3 if shift == 1000 else 1e-5  # float32 has seven digits
        for name, values in expected.items():
            assert found[name] == pytest.approx(values, abs=close), (name, shift)


def test_without_learned_names_there_is_no_mass() -> None:
    assert set(kept([[1.0, 2.0]], [0])) == set(NAMES)


def test_of_equal_logits_the_first_comes_first() -> None:
    found = kept([[1.0, 1.0, 1.0]] * 3, [0, 1, 2], [False, True, True])
    assert found["predicted"] == [0, 0, 0] and found["rank"] == [0, 1, 2]
    assert found["own"] == [1, 1, 0]


def test_infinite_logits_are_the_limit_of_large_ones() -> None:
    found = kept(
        [[INF, 0.0, INF], [-INF, -INF, -INF], [0.0, -INF, 0.0]], [2, 1, 1], [True, True, False]
    )
    assert found["confidence"] == pytest.approx([0.5, 1 / 3, 0.5])
    assert found["log_loss"] == pytest.approx([math.log(2), math.log(3), INF])
    assert found["mass"] == pytest.approx([0.5, 2 / 3, 0.5])
    assert found["rank"] == [1, 1, 2] and found["rest"] == pytest.approx([0.25, 2 / 9, 0.25])


def test_a_mass_next_to_one_is_not_rounded_away() -> None:
    """What is left for the other names is summed, however little."""
    logits = [[20.0, 4.0] + [5.0] * 40]
    (mass,) = kept(logits, [0], [True, True] + [False] * 40)["mass"]
    left = 40 * math.exp(5.0) / (math.exp(20.0) + math.exp(4.0) + 40 * math.exp(5.0))
    assert 1 - mass == pytest.approx(left, rel=0.01)


def test_rows_do_not_depend_on_each_other() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(60, 37, generator=draw) * 5, torch.arange(60) % 37
    learned = torch.arange(37) < 19
    whole = of_logits(logits, labels, learned)
    for size in (1, 7, 25):
        parts = zip(logits.split(size), labels.split(size), strict=True)
        assert torch.equal(torch.cat([of_logits(*p, learned) for p in parts], dim=1), whole)


def test_half_precision_logits_are_taken_as_they_are() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    found = of_logits(logits.bfloat16(), torch.tensor([0]))
    assert found.dtype == torch.float32
    assert torch.equal(found, of_logits(logits, torch.tensor([0])))
