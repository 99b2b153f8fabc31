"""Parameters over training that are damaged, or that cannot be kept."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

import promptbench
from promptbench.analysis import epochs
from promptbench.analysis.runs import Run, open_runs
from promptbench.errors import OutputError
from promptbench.planning.machine import Machine
from promptbench.tracking import Listener


class Told(Listener):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    few = {"datasets": ["counts"], "shots": 1, "limit": 5, "set": ["Recipe.epochs=2"]}
    promptbench.run("vpt", "base_to_new", out=out, baseline=False, quiet=True, **few)
    return out


def opened(folder: Path) -> tuple[Run, Told]:
    told = Told()
    (run,) = open_runs([folder], Machine(), told)
    return dataclasses.replace(run, lab=dataclasses.replace(run.lab, listener=told)), told


@pytest.mark.parametrize("change", ["cut", "garbage"])
def test_damaged_epochs_are_computed_again(finished: Path, tmp_path: Path, change: str) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "runs"))
    run, told = opened(folder)
    first = epochs.over_training(run)
    kept = run.folder / epochs.EPOCHS
    data = kept.read_bytes()
    kept.write_bytes(data[: len(data) // 2] if change == "cut" else b"no tensors here")
    again = epochs.over_training(run)
    assert [f"{kept} cannot be read" in text for text in told.said] == [True]
    assert list(again) == list(first) == [0, 1, 2]
    assert all(value.equal(first[2][name]) for name, value in again[2].items())
    assert kept.read_bytes() == data


def test_a_folder_that_cannot_be_written_costs_no_training(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, told = opened(finished)

    def refuse(path: Path, write: object) -> None:
        raise OutputError(f"cannot write {path}: Read-only file system")

    monkeypatch.setattr(epochs, "write_whole", refuse)
    assert list(epochs.over_training(run)) == [0, 1, 2]
    (text,) = told.said
    assert "Read-only file system" in text and "vpt on counts" in text
    assert not (run.folder / epochs.EPOCHS).exists()
