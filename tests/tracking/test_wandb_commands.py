"""Weights & Biases: what is wrong with sending cells later is said, and dashboards."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.calling import call
from tests.tracking.wandb_runs import Broken


def test_sync_says_what_is_wrong(
    logged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no records" in call("wandb", "sync", tmp_path).stderr
    monkeypatch.setitem(sys.modules, "wandb", Broken("init"))
    refused = call("wandb", "sync", logged, "--out", tmp_path)
    assert refused.exit_code == 2 and "no route to host" in refused.stderr


def test_the_workspace_is_written_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("wandb_workspaces")
    file = tmp_path / "workspace.json"
    found = call("wandb", "dashboard", "--entity", "me", "--project", "p", "--dump", file)
    assert found.exit_code == 0, found.output
    view = json.loads(file.read_text())
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    assert {s["name"] for s in sections} >= {
        "Harmonic mean",
        "Base against new",
        "Training",
        "Norms",
    }
    text = file.read_text()
    for key in ("score/HM", "score/base", "score/new", "loss/.*", "loss/token_norm"):
        assert key in text
    for key in ("ratio", "prompt", "cls"):
        assert f"norms/{key}/.*" in text
