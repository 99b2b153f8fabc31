"""Whatever a method draws comes from its cell's streams: the same cell is the same, twice."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import promptbench
from promptbench.contract.checkup import checkup
from promptbench.core.registry import METHODS
from promptbench.records import Record
from tests.contract.points import only
from tests.short_form import first

# Draws wherever a method can: at import, when it is built, when it learns and when it is asked.
DRAWING = """
import random

import numpy as np
import torch
from torch import nn

from promptbench.core.method import Method, unit

AT_IMPORT = (float(torch.rand(())), np.random.rand(), random.random())


def noise(like):
    drawn = torch.from_numpy(np.random.randn(*like.shape)).to(like)
    return torch.randn_like(like) + drawn + random.gauss(0, 1)


class Drawing(Method):
    title, paper, paradigm = "Drawing", "none", "end-to-end"

    def __init__(self, towers, classes):
        super().__init__(towers, classes)
        self.weight = nn.Parameter(noise(torch.zeros(len(classes), towers.embed_dim)))
        self.register_buffer("at_import", torch.tensor(AT_IMPORT))

    @torch.no_grad()
    def solve(self, batches):
        order = list(range(len(self.weight)))
        random.shuffle(order)
        for images, labels in batches:
            features = unit(self.towers.image.features(self.towers.image.tokens(images)))
            self.weight[order] += GENERATOR_NOISE(features).mean(dim=0)

    def prepare(self, classes):
        return unit(self.weight[: len(classes)] + noise(self.weight[: len(classes)]))

    def logits(self, images, prepared):
        features = unit(self.towers.image.features(self.towers.image.tokens(images)))
        return noise(features) @ prepared.T

    def losses(self, images, labels, prepared):
        return {"ce": self.logits(images, prepared).mean()}
"""
OWN = {  # generators that nobody can seed from outside
    "torch": "torch.randn(1, generator=(lambda g: (g.seed(), g)[1])(torch.Generator()))",
    "numpy": "torch.from_numpy(np.random.default_rng().standard_normal(1)).float()",
    "random": "torch.tensor([random.SystemRandom().random()])",
    "module": "torch.from_numpy(GOES_ON.standard_normal(1)).float()",
}
FEW: dict[str, Any] = {
    "datasets": ["counts"], "shots": 2, "seeds": [1], "limit": 40, "baseline": False, "quiet": True,
}  # fmt: skip


NUMBER = itertools.count()


def plugin(folder: Path, noise: str = "noise(features)", more: str = "") -> Path:
    """A file of its own with a class of its own, imported afresh."""
    METHODS._files.clear()
    text = DRAWING.replace("GENERATOR_NOISE(features)", noise)
    file = folder / "drawing.py"
    file.write_text(text.replace("class Drawing", f"class Drawing{next(NUMBER)}") + more)
    return file


def computed(file: Path, out: Path, *seeds: int) -> list[Record]:
    few = {**FEW, "seeds": seeds or [1]}
    return promptbench.run("drawing", "few_shot", plugin=[file], out=out, **few)


def test_the_same_cell_draws_the_same_wherever_it_draws(tmp_path: Path) -> None:
    """Alone, after another cell, and after its module was imported again."""
    file = plugin(tmp_path)
    (alone,) = computed(file, tmp_path / "first")
    other, second = computed(file, tmp_path / "second", 2, 1)
    assert second.numbers() == alone.numbers()
    assert other.training.parameters_sha256 != alone.training.parameters_sha256
    torch.rand(3), np.random.rand(3), random.random()  # the caller's streams have no say
    (again,) = computed(plugin(tmp_path), tmp_path / "third")
    assert again.numbers() == alone.numbers()


def test_a_run_leaves_the_callers_generators_alone(tmp_path: Path) -> None:
    file = plugin(tmp_path)

    def drawn() -> tuple[float, float, float]:
        return float(torch.rand(())), float(np.random.rand()), random.random()

    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    expected = drawn()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    computed(file, tmp_path / "runs")
    assert drawn() == expected


@pytest.mark.parametrize("kind", first(2, list(OWN)))
def test_the_contract_finds_a_generator_that_is_not_seeded(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "Two methods of one seed, b")
    goes_on = "\n\nGOES_ON = np.random.default_rng(0)\n"
    file = plugin(tmp_path, f"{OWN[kind]}.reshape(1, 1)", goes_on)
    verdicts = {v.point[:26]: v for v in checkup(METHODS.load(METHODS.add_file(file)))}
    verdict = verdicts["Two methods of one seed, b"]
    assert not verdict.held and "weight differs between two methods of one seed" in verdict.detail


def test_the_contract_is_content_with_seeded_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "Two methods of one seed, b")
    file = plugin(tmp_path)
    verdicts = {v.point[:26]: v for v in checkup(METHODS.load(METHODS.add_file(file)))}
    assert "differs between two" not in verdicts["Two methods of one seed, b"].detail
