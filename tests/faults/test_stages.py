"""Trainings in stages, on several views and down gradients of their own: cut off anywhere, they end
in the same bits; and what they are made of is in the record."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.reproduction.again import reproduce
from promptbench.running.failures import CellsFailed
from promptbench.running.lab import keeper
from promptbench.running.training import snapshot
from tests.faults import driver
from tests.short_form import first

RECIPE = (
    "Recipe.epochs={'steps_per_shot': 3}",  # 8 images of 4 shots: three epochs, 4 and 4 and 4 steps
    *("Recipe.batch_size=2", "Recipe.optimizer='adamw'", "Recipe.schedule='step'"),
    "Recipe.warmup_epochs=0",
    "Recipe.stages=({'share': 0.5}, {'share': 0.5, 'optimizer': 'sgd', 'lr': 0.01})",
    "Recipe.groups=({'parameters': 'text side', 'weight_decay': 0.0, 'lr': 0.02},)",
    "Recipe.views=('crop', 'randaugment', 'plain')",
)
ONE: dict[str, Any] = {
    "methods": "staged",
    "plugin": [str(Path(__file__).with_name("staged.py"))],
    "set": list(RECIPE),
    "seeds": [1],
    "baseline": False,
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    out = tmp_path_factory.mktemp("undisturbed")
    (record,) = driver.run(out, **ONE)
    return out, record


def test_the_record_says_all_of_it(undisturbed: tuple[Path, Record]) -> None:
    out, record = undisturbed
    recipe = record.training.recipe
    assert recipe["epochs"] == {"steps_per_shot": 3}
    assert [stage["share"] for stage in recipe["stages"]] == [0.5, 0.5]
    assert recipe["groups"][0]["lr"] == 0.02 and len(recipe["views"]) == 3
    assert "Recipe.stages = " in record.config and "'steps_per_shot': 3" in record.config
    steps = 3 * record.source.shots
    assert (record.training.steps, record.training.epochs) == (steps, -(-steps // 4))
    assert record.training.losses[0].keys() == {"ce", "gap", "total"}
    (path,) = records.find([out])
    assert reproduce(path).outcome == "identical"


# Within an epoch, at the end of one, before and after a stage begins within one, at the end.
@pytest.mark.parametrize("save", first(2, [4, 11, 1, 6, 7]))
def test_a_training_goes_on_to_the_same_bits(
    undisturbed: tuple[Path, Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: int
) -> None:
    class Cut(BaseException):
        pass

    counter, own = itertools.count(1), snapshot.Snapshots.save

    def cut(self: snapshot.Snapshots, progress: snapshot.Progress) -> None:
        own(self, progress)
        if next(counter) == save:
            raise Cut

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(snapshot.Snapshots, "save", cut)
        driver.run(tmp_path, **ONE)
    (record,) = driver.run(tmp_path, **ONE)
    assert record.numbers() == undisturbed[1].numbers()
    assert record.training.parameters_sha256 == undisturbed[1].training.parameters_sha256


def test_workers_and_the_place_of_augmentation_change_nothing(
    undisturbed: tuple[Path, Record], tmp_path: Path
) -> None:
    (record,) = driver.run(tmp_path, **ONE, augment="device", workers=3)
    assert record.training.parameters_sha256 == undisturbed[1].training.parameters_sha256


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("Recipe.views=('crop',)", r"Recipe\.views has 1, .* staged learns from 3 of each image"),
        ("Recipe.stages=()", r"Recipe\.stages has 1; the training of staged has 2"),
        ("Recipe.stages=({'share': 0.5}, {'share': 0.6})", r"shares must add up to 1, not 1\.1"),
        ("Recipe.stages=({'shre': 0.5},)", r"stage 1 needs a 'share' of the steps"),
        (
            "Recipe.stages=({'share': 0.5}, {'share': 0.5, 'batch_size': 3})",
            r"stage 2: it has no setting 'batch_size'",
        ),
        ("Recipe.stages=({'share': 1.0, 'lr': -1.0},)", r"stage 1: Recipe\.lr must be"),
        ("Recipe.stages=({'share': 1.0, 'optimizer': 'lion'},)", r"'lion' is not one of sgd"),
        ("Recipe.average=(1.5, 1.0)", r"average is over the epochs of one training"),
        ("Recipe.groups=({'lr': 1.0},)", r"entry 1 needs 'parameters'"),
        ("Recipe.groups=({'parameters': 'text', 'eps': 1.0},)", r"no setting 'eps'; known: lr"),
        ("Recipe.groups=({'parameters': 'text', 'momentum': 0.5},)", r"momentum is one of SGD"),
        ("Recipe.randaugment=(2, 31)", r"\(operations, magnitude from 0 to 30\)"),
        ("Recipe.epochs={'steps_per_shot': 0}", r"Recipe\.epochs must be at least 1"),
        ("Recipe.epochs={'steps': 3}", r"does not fit"),
    ],
)
def test_settings_that_make_no_training_are_refused_with_a_sentence(
    tmp_path: Path, setting: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        driver.run(tmp_path, **{**ONE, "set": [*RECIPE, setting]})


def test_a_group_that_nobody_has_is_a_failure_that_names_it(tmp_path: Path) -> None:
    groups = "Recipe.groups=({'parameters': 'text sde', 'lr': 1.0},)"
    with pytest.raises(CellsFailed, match=r"no group 'text sde'.*did you mean 'text s"):
        driver.run(tmp_path, **{**ONE, "set": [*RECIPE, groups]})


def test_a_stage_takes_back_no_change_of_the_towers_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "SHARE", -1.0)  # not looked at for a checkpoint
    path = tmp_path / "passing.py"
    path.write_text(
        "from tests.faults.staged import Staged\n\n\n"
        "class Passing(Staged):\n"
        "    title, paper, paradigm = 'passing', 'none', 'end-to-end'\n\n"
        "    def begin_stage(self, number):\n"
        "        super().begin_stage(number)\n"
        "        self.towers.model.visual.ln_post.eps = 0.5 if number == 1 else 1e-5\n"
    )
    with pytest.raises(CellsFailed, match=r"towers were changed \(.*ln_post.eps was changed"):
        driver.run(tmp_path / "out", **{**ONE, "methods": "passing", "plugin": [str(path)]})
    assert not list(tmp_path.rglob("training.json")) and not list(tmp_path.rglob("checkpoint.pt"))
