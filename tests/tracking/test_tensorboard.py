"""Event files of TensorBoard, read back; without the package only that it is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from promptbench.core.registry import TRACKERS
from promptbench.errors import UserError
from promptbench.tracking import TrackerOptions
from tests.tracking.recorded import EPOCHS, recorded


def scalars(place: Path) -> dict[str, list[tuple[int, float]]]:
    """All values of a cell by tag, with their steps, as TensorBoard reads them."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = events.EventAccumulator(str(place)).Reload()
    return {
        tag: [(event.step, round(event.value, 4)) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_a_cell_that_goes_on_has_every_epoch_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    facts = recorded(tmp_path)
    cell, kind = facts.cells[0], TRACKERS.load("tensorboard").cls
    killed = kind(tmp_path, TrackerOptions())
    killed.cell_started(cell)
    killed.epoch_ended(cell, EPOCHS[0])
    place = tmp_path / "tensorboard" / cell.folder(tmp_path).relative_to(tmp_path)
    assert scalars(place)["losses/ce"] == [(1, 1.5)]  # it is there before anybody closes
    again = kind(tmp_path, TrackerOptions())
    again.cell_started(cell)
    again.training_resumed(cell, EPOCHS[:1])
    again.epoch_ended(cell, EPOCHS[1])
    again.cell_ended(cell, facts.record)
    killed.close()
    found = scalars(place)
    assert found["losses/ce"] == [(1, 1.5), (2, 1.0)] and found["lr"] == [(1, 0.1), (2, 0.1)]
    assert found["norms/cls/block01"] == [(1, 1.0), (2, 1.0)]
    scores = {tag: values for tag, values in found.items() if tag.startswith("accuracy/")}
    assert len(scores) == len(facts.record.targets)
    assert {step for values in scores.values() for step, _ in values} == {2}


def test_a_training_of_another_cell_is_logged_from_the_record(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    facts = recorded(tmp_path)
    cell = facts.cells[1]
    tracker = TRACKERS.load("tensorboard").cls(tmp_path, TrackerOptions())
    tracker.cell_started(cell)
    tracker.cell_ended(cell, facts.record)
    place = tmp_path / "tensorboard" / cell.folder(tmp_path).relative_to(tmp_path)
    assert scalars(place)["losses/total"] == [(1, 2.5), (2, 1.25)]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"needs the package tensorboard: pip install '.*\[tens"):
        TRACKERS.load("tensorboard").cls(tmp_path, TrackerOptions())
