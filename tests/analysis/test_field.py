"""The coupled prompt field: what a field is, what stands beside it, classes one by one."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from promptbench.analysis.agreement import agreement, first_half
from promptbench.analysis.attention import AttentionSums
from promptbench.analysis.field import (
    HALVES,
    MINUS,
    RANDOM,
    REFERENCES,
    field_of,
    numbers,
    per_class,
    random_map,
    references,
)
from promptbench.analysis.sweep import Sweep
from promptbench.core.protocol import Target
from promptbench.running.observing.norms import NormSums


def draw(n: int = 50, d: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def swept(tuned: Tensor, frozen: Tensor, labels: Tensor | None = None) -> Sweep:
    return Sweep(
        target=Target("x", "base", "none"),
        classes=("a", "b"),
        features={"cls": tuned},
        frozen=frozen,
        labels=torch.zeros(len(tuned), dtype=torch.long) if labels is None else labels,
        norms=NormSums(),
        attention=AttentionSums(),
        edited=True,
    )


def test_the_field_of_unit_features_does_not_see_their_scale() -> None:
    tuned, frozen = draw().float(), draw(seed=1).float()
    scales = torch.rand(50, 1) + 0.5
    plain, scaled = swept(tuned, frozen), swept(tuned * scales, frozen * 2)
    assert torch.allclose(
        field_of(plain, "cls", "unit"), field_of(scaled, "cls", "unit"), atol=1e-6
    )
    assert torch.allclose(field_of(plain, "cls", "raw"), tuned.double() - frozen.double())
    assert not torch.allclose(field_of(plain, "cls", "raw"), field_of(scaled, "cls", "raw"))


def test_no_change_is_no_field() -> None:
    x = draw().float()
    found = agreement(*[field_of(swept(x, x), "cls", "unit")] * 2)
    assert math.isnan(found.mean_cosine) and math.isnan(found.magnitude_ratio)
    assert found.base_magnitude == 0


def test_classes_one_by_one() -> None:
    frozen = torch.zeros(4, 2) + torch.tensor([0.0, 1.0])
    tuned = frozen + torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    own = swept(tuned, frozen, torch.tensor([0, 0, 1, 1]))
    other = swept(frozen + torch.tensor([3.0, 0.0]), frozen)
    found = {(i, q): v for part, i, q, v in per_class(own, other) if part == "cls/raw"}
    assert found["a", "cosine_to_other_group"] == pytest.approx(1)
    assert found["b", "cosine_to_other_group"] == pytest.approx(0)
    assert found["a", "cosine_to_own_group"] == pytest.approx(0)
    assert found["b", "magnitude"] == pytest.approx(2)


def cone(n: int, d: int = 32, seed: int = 0) -> Tensor:
    """Features as CLIP's: a common direction, and less along few others."""
    spread = torch.arange(1, d + 1, dtype=torch.float64) ** -1.0
    offset = torch.zeros(d, dtype=torch.float64)
    offset[0] = 3
    return (offset + draw(n, d, seed) * spread).float()


def beside(
    frozen: tuple[Tensor, Tensor], tuned: tuple[Tensor, Tensor], kind: str, seed: int = 1
) -> dict[str, tuple[Tensor, Tensor]]:
    base, new = (swept(*pair) for pair in zip(tuned, frozen, strict=True))
    return {name: (b, n) for name, b, n in references(base, new, "cls", kind, seed)}


def test_what_learned_nothing_agrees_as_well() -> None:
    """A random map of features in a cone, and the loss of them, look coupled."""
    frozen = cone(300), cone(200, seed=1)
    for kind in ("raw", "unit"):
        found = beside(frozen, (frozen[0] + 1, frozen[1] + 1), kind)
        for name in (MINUS, RANDOM):
            nothing = agreement(*found[name])
            assert nothing.mean_cosine > 0.99 and nothing.new_to_base > 0.9
            assert nothing.shared_new > 0.7 and nothing.base_coherence > 0.9


def test_the_references_are_what_they_say() -> None:
    frozen, tuned = (cone(40), cone(30, seed=1)), (cone(40, seed=2), cone(30, seed=3))
    found = beside(frozen, tuned, "unit")
    own = field_of(swept(tuned[0], frozen[0]), "cls", "unit")
    assert torch.allclose(found[MINUS][1].norm(dim=1), torch.ones(30).double(), atol=1e-6)
    sizes = [x.norm(dim=1).mean() for x in (own, found[RANDOM][0])]
    assert float(sizes[0]) == pytest.approx(float(sizes[1]))
    ratio = found[RANDOM][0][0] / (-found[MINUS][0][0] @ random_map(32, 1))
    assert torch.allclose(ratio, ratio[0].expand(32))  # one scale for all
    half = first_half(40)
    assert found[HALVES][0].equal(own[half]) and found[HALVES][1].equal(own[~half])
    assert len(found[HALVES][0]) == 20
    assert random_map(8, 1).equal(random_map(8, 1)) and not random_map(8, 1).equal(random_map(8, 2))


def test_every_number_stands_beside_its_references() -> None:
    frozen, tuned = (cone(40), cone(30, seed=1)), (cone(40, seed=2), cone(30, seed=3))
    base, new = (
        dataclasses.replace(swept(*pair), untrained={"cls": pair[0] * 2 + 1})
        for pair in zip(tuned, frozen, strict=True)
    )
    found = {(part, quantity): value for part, quantity, value in numbers(base, new, 1)}
    own = {quantity for part, quantity in found if part == "cls/unit"} - {"isotropic"}
    assert {f"{name}_low" for name in vars(agreement(*beside(frozen, tuned, "unit")[MINUS]))} < own
    for reference in REFERENCES:
        assert {q for part, q in found if part == f"cls/unit/{reference}"} == own
        raw = {q for part, q in found if part == f"cls/raw/{reference}"}
        assert raw == {name for name in own if not name.endswith(("_low", "_high"))}
    at = found["cls/unit", "new_to_base"]
    assert found["cls/unit", "new_to_base_low"] < at < found["cls/unit", "new_to_base_high"]
    assert list(numbers(base, new, 1)) == list(numbers(base, new, 1))  # drawn, and the same again
    over_training = {part for part, _, _ in numbers(base, new, 1, full=False)}
    assert over_training == {"cls/raw", "cls/unit"}
