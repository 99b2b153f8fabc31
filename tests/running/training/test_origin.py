"""Trainings of other code are neither resumed nor used: they start from the beginning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.core import source_code
from promptbench.core.registry import Plugin
from promptbench.running.failures import CellsFailed
from promptbench.running.training import snapshot
from tests.faults import driver
from tests.faults.driver import TINY

ONE: dict[str, Any] = {"seeds": [1], "baseline": False, "quiet": False}
NOW: snapshot.Code = {
    "promptbench": "0.1.0", "method": "a", "selection": "s", "training": "b",
}  # fmt: skip


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("made_by", "why"),
    [
        (NOW, None),
        ({**NOW, "promptbench": "0.0.9"}, None),  # a name
        ({**NOW, "method": "c"}, "the method's module, what it imports or its gin file"),
        ({**NOW, "method": None}, "the method's module"),
        ({**NOW, "selection": "c"}, "the selection rule's module or what it imports was changed"),
        ({**NOW, "training": "c"}, "promptbench 0.1.0 with other sources for training"),
        (None, "does not say by which"),
    ],
)
def test_what_differs_is_said(made_by: Any, why: str | None) -> None:
    found = snapshot.difference(made_by, NOW)
    assert found is None if why is None else found is not None and why in found


def test_a_checkpoint_of_other_code_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = {"set": [*TINY["set"], "Noisy.fault='nan'", "Noisy.at=6"]}  # four steps an epoch
    with pytest.raises(CellsFailed, match="at epoch 2, step 2"):
        driver.run(tmp_path, **ONE, **fault)
    said(capsys)
    monkeypatch.setattr(source_code, "of_training", lambda: "1" * 64)
    saved: list[str] = []
    save = snapshot.Snapshots.save
    monkeypatch.setattr(
        snapshot.Snapshots, "save", lambda self, p: (saved.append(str(p)), save(self, p))
    )
    with pytest.raises(CellsFailed, match="at epoch 2, step 2"):
        driver.run(tmp_path, retry_failed=True, **ONE, **fault)
    message = "its checkpoint (of epoch 2, step 1) was made by other code"
    assert message in said(capsys) and saved[0] == "epoch 1, step 1"
    with pytest.raises(CellsFailed):
        driver.run(tmp_path, retry_failed=True, **ONE, **fault)
    assert message not in said(capsys) and saved.count("epoch 1, step 1") == 1  # it went on


def test_a_finished_training_of_other_code_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def again() -> tuple[str, records.Record]:
        for path in records.find([tmp_path]):
            path.unlink()
        (record,) = driver.run(tmp_path, **ONE)
        return said(capsys), record

    _, first = again()
    (summary,) = tmp_path.rglob("training.json")
    own = json.loads(summary.read_text())["code"]
    assert own["method"] == first.method.source_sha256 is not None
    assert "other code" not in again()[0]
    monkeypatch.setattr(Plugin, "source_sha256", "0" * 64)
    text, record = again()
    assert "was made by other code" in text and "starts from the beginning" in text
    assert record.numbers() == first.numbers() and record.cell_id == first.cell_id
    assert record.method.source_sha256 == "0" * 64
    zeros = dict.fromkeys(("method", "selection"), "0" * 64)
    assert json.loads(summary.read_text())["code"] == {**own, **zeros}
    assert "other code" not in again()[0]
