"""All training images at once: what a method is shown, how it is augmented, seeded and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import promptbench
from promptbench import records
from promptbench.core.registry import METHODS
from promptbench.planning import plan
from promptbench.planning.request import Request
from promptbench.records import Record
from promptbench.report import assemble
from promptbench.reproduction.again import reproduce
from promptbench.trackers.jsonl import JsonLines

HERE = Path(__file__).parent
FEW: dict[str, Any] = {
    "datasets": ["counts"], "shots": 2, "seeds": [1], "limit": 20, "baseline": False, "quiet": True,
}  # fmt: skip


def run(
    out: Path, name: str = "keeping", protocol: str = "few_shot", *changes: str
) -> list[Record]:
    plugin = [str(HERE / f"{name}.py")]
    settings = ["Recipe.epochs=2", "Recipe.batch_size=4", *changes]
    return promptbench.run(name, protocol, plugin=plugin, out=out, set=settings, **FEW)


def seen(out: Path, *changes: str, name: str = "keeping") -> tuple[Record, Tensor]:
    """The record of a cell, and the images that its method was shown at once."""
    (record,) = run(out, name, "few_shot", *changes)
    return record, METHODS.load(name).cls.seen.pop()


def test_a_method_starts_from_the_training_images(tmp_path: Path) -> None:
    """Under the test transform, or in passes that augment, each in its own way; the same twice."""
    plain, once = seen(tmp_path / "plain")
    count = len(plain.source.keys)
    assert len(once) == count and plain.training.epochs == 2
    _, twice = seen(tmp_path / "augmented", "Keeping.passes=2")
    first, second = twice.split(count)
    assert not torch.equal(first, second) and not torch.equal(first, once)
    whole = ("Recipe.crop_scale=(1.0, 1.0)", "Recipe.flip=0.0", "Keeping.passes=1")
    _, uncut = seen(tmp_path / "whole", *whole)
    close = (uncut - once).flatten(1).norm(dim=1) < (once.roll(1, 0) - once).flatten(1).norm(dim=1)
    assert close.all()  # the same pictures in the same order
    again, images = seen(tmp_path / "again", "Keeping.passes=2", "Recipe.epochs=2")
    assert torch.equal(images, twice)
    assert again.method.learned_parameters == count * 64


def test_a_training_that_was_cut_off_is_not_shown_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(KeyboardInterrupt):
        pass

    def cut(*_: Any) -> None:
        raise Cut

    whole, _ = seen(tmp_path / "whole", "Keeping.passes=1")
    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(JsonLines, "epoch_ended", cut)
        run(tmp_path / "cut", "keeping", "few_shot", "Keeping.passes=1")
    del METHODS.load("keeping").cls.seen[:]
    (resumed,) = run(tmp_path / "cut", "keeping", "few_shot", "Keeping.passes=1")
    assert resumed.numbers() == whole.numbers()
    assert not METHODS.load("keeping").cls.seen


def test_a_solver_sees_passes_as_its_recipe_augments_them(tmp_path: Path) -> None:
    """Of its recipe only that counts: it is in the id, the record and the configuration."""
    made, images = seen(tmp_path / "a", name="solving")
    assert len(images) == 2 * len(made.source.keys)
    assert made.training.recipe.keys() == {"crop_scale", "flip"}
    assert "Recipe.flip" in made.config and "Recipe.lr" not in made.config
    assert (made.training.epochs, made.training.steps) == (0, 0)
    flipped, others = seen(tmp_path / "a", "Recipe.flip=1.0", name="solving")
    assert flipped.training_id != made.training_id and not torch.equal(images, others)
    (path,) = (p for p in records.find([tmp_path]) if records.read(p) == made)
    assert reproduce(path).outcome == "identical"


def test_a_solver_of_the_test_transform_has_no_recipe(tmp_path: Path) -> None:
    METHODS.add_file(HERE / "solving.py")

    def cell(*changes: str) -> Any:
        request = Request(["solving"], "few_shot", datasets=["counts"], set=list(changes))
        return next(
            c for c in plan.build(request, "fp32", tmp_path).cells if c.method.name != "zeroshot"
        )

    assert cell("Solving.passes=0").recipe == {}
    plain = cell("Solving.passes=0").training_id
    assert cell("Solving.passes=0", "Recipe.flip=1.0").training_id == plain


def test_a_selective_rule_is_scored_and_marked(tmp_path: Path) -> None:
    """By names that were learned and others on one list, too."""
    (known,) = run(tmp_path, "keeping", "generalized_base_to_new")
    assert known.method.paradigm == "selective" and len(known.targets) == 2
    (table,) = assemble.of_records([known])
    assert [heading for heading, _ in table.sections()] == ["selective"]
    assert any(note.startswith("selective: goes by the class name") for note in table.notes)
