"""A selection rule of a third party, by entry point: its run, record, ids and snapshots."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from promptbench import records
from promptbench.core.registry import SELECTIONS
from promptbench.isolation.entering import state_of
from promptbench.mixing.rows import rows
from promptbench.running.training.snapshot import Progress, Snapshots
from tests.faults import driver
from tests.faults.driver import TINY

HERE = Path(__file__).parent
# At this learning rate the loss rises: the first of the epochs has the lowest.
ONE: dict[str, Any] = {
    "seeds": [1], "baseline": False, "protocols": "by_lowest_loss",
    "set": [*TINY["set"], "Recipe.lr=0.05"],
}  # fmt: skip
BEST, STEPS = 0, 4  # the epoch with the lowest loss; steps of an epoch
States = dict[int, dict[str, torch.Tensor]]


class Cut(BaseException):
    """What a kill looks like from inside."""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with the rule and the protocol, as pip would leave it."""
    folder = tmp_path / "site"
    info = folder / "their_rules-1.0.dist-info"
    info.mkdir(parents=True)
    groups = {"selections": "lowest_loss", "protocols": "by_lowest_loss"}
    for name in groups.values():
        shutil.copy(HERE / f"{name}.py", folder / f"their_{name}.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their_rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "".join(f"[promptbench.{group}]\n{n} = their_{n}\n" for group, n in groups.items())
    )
    monkeypatch.syspath_prepend(folder)
    return folder


def watched(monkeypatch: pytest.MonkeyPatch, after: Callable[[Progress], None]) -> States:
    """The states of a training at the ends of its epochs; `after` follows each snapshot."""
    states: States = {}
    save = Snapshots.save

    def kept(self: Snapshots, progress: Progress) -> None:
        save(self, progress)
        if not progress.step:
            now = state_of(self._method)
            states[progress.epoch - 1] = {name: value.clone() for name, value in now.items()}
        after(progress)

    monkeypatch.setattr(Snapshots, "save", kept)
    return states


def test_its_choice_is_scored_recorded_and_survives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        states = watched(patch, lambda _: None)
        (record,) = driver.run(tmp_path / "whole", **ONE)
    losses = [epoch["total"] for epoch in record.training.losses]
    assert len(losses) == len(states) == 3 and min(losses) == losses[BEST] < losses[-1]
    folder = records.find([tmp_path / "whole"])[0].parent
    found = load_file(folder / records.PARAMETERS)
    assert found.keys() == states[BEST].keys() and int(found["steps"]) == STEPS * (BEST + 1)
    assert all(torch.equal(found[name], value) for name, value in states[BEST].items())
    provider = SELECTIONS.load("lowest_loss").provider
    assert provider.startswith("their_rules 1.0, file ")
    assert record.protocol.selection == f"lowest training loss ({provider})"

    for last in ("epoch 1", "epoch 2, step 3"):  # the chosen epoch has passed
        out = tmp_path / last

        def cut(progress: Progress, last: str = last) -> None:
            if str(progress) == last:
                raise Cut

        with monkeypatch.context() as patch, pytest.raises(Cut):
            watched(patch, cut)
            driver.run(out, **ONE)
        with monkeypatch.context() as patch:
            resumed = watched(patch, lambda _: None)
            (again,) = driver.run(out, **ONE)
        assert resumed.keys() == {1, 2}  # it went on
        assert driver.numbers(out) == driver.numbers(tmp_path / "whole")
        assert (again.cell_id, again.training_id) == (record.cell_id, record.training_id)


def test_it_shares_no_training_with_the_last_epoch_and_no_row(tmp_path: Path) -> None:
    options = {**ONE, "checkpoint_minutes": 5}
    (lowest,) = driver.run(tmp_path, **options)
    (last,) = driver.run(tmp_path, **{**options, "protocols": "base_to_new"})
    assert last.protocol.selection == "last epoch"
    assert last.training_id != lowest.training_id
    assert last.training.losses == lowest.training.losses
    assert last.training.parameters_sha256 != lowest.training.parameters_sha256
    assert len(list(tmp_path.glob("*/trainings/*"))) == 2
    one = last.model_copy(update={"protocol": lowest.protocol, "seed": 2, "cell_id": "1" * 64})
    other = one.protocol.model_copy(update={"selection": "last epoch"})
    two = one.model_copy(update={"protocol": other, "seed": 3, "cell_id": "2" * 64})
    assert [len(row) for row in rows([one, two]).values()] == [1, 1]
