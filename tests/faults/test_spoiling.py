"""A method that changes the towers fails, and no other cell notices: nothing of it is kept."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from promptbench.contract import examine
from promptbench.core.registry import METHODS
from promptbench.errors import RunError
from promptbench.methods.linear_probe import LinearProbe
from promptbench.models.towers.image import VisionTower
from promptbench.running.failures import CellsFailed
from promptbench.running.lab import Lab, keeper
from promptbench.running.predicting import feature_cache
from promptbench.running.training import snapshot
from promptbench.storage.files import write_whole
from promptbench.storage.leases import LeaseLost
from promptbench.support.stopping import Stopped
from tests.contract.points import only
from tests.faults import driver
from tests.faults.driver import NOISY, TINY
from tests.short_form import first

SPOILING = Path(__file__).with_name("spoiling.py")
GRID: dict[str, Any] = {
    "methods": "spoiling,linear_probe,noisy",
    "plugin": [SPOILING, NOISY],
    "protocols": "few_shot",
    "seeds": [1],
    "limit": 23,  # features of its own in the cache
    "baseline": False,
    "checkpoint_minutes": 5,
}


@pytest.fixture(autouse=True)
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of features that no other test fills at the same time."""
    monkeypatch.setattr(feature_cache, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "features"


def spoiled(when: str, how: str) -> dict[str, Any]:
    return {**GRID, "set": [*TINY["set"], f"Spoiling.when='{when}'", f"Spoiling.how='{how}'"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The numbers of the two other methods, without cached features."""
    out = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTBENCH_FEATURES_MB", "0")
        driver.run(out, **{**GRID, "methods": "linear_probe,noisy"})
    return driver.numbers(out)


@pytest.mark.parametrize(
    ("when", "how", "said"),
    first(
        2,
        [
            ("init", "data", r"frozen towers were changed \(visual.ln_post.weight holds other"),
            ("losses", "hook", r"frozen towers were changed \(model.visual.ln_post._forward_hooks"),
            ("prepare", "data", r"frozen towers were changed \(visual.ln_post.weight holds other"),
            ("logits", "hook", r"frozen towers were changed \(model.visual.ln_post._forward_hooks"),
            (
                "losses",
                "merge",
                r"frozen towers were changed \(visual.transformer.*in_proj_weight holds",
            ),
            ("losses", "raise", "ZeroDivisionError: after the change"),
        ],
    ),
)
def test_its_cell_fails_and_the_others_are_right(
    when: str, how: str, said: str, undisturbed: dict[str, Any], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises(CellsFailed, match=said) as caught:
        driver.run(tmp_path, **{**spoiled(when, how), "quiet": False})
    assert [record.method.name for record in caught.value.records] == ["linear_probe", "noisy"]
    assert driver.numbers(tmp_path) == undisturbed
    assert "backbone is loaded again" in " ".join(capsys.readouterr().err.split())
    (failed,) = tmp_path.rglob("failed.log")
    assert {p.name for p in failed.parent.iterdir()} <= {"failed.log", "log.jsonl", "predictions"}
    kept = [p.name for p in (tmp_path / "demo" / "trainings").rglob("*") if p.is_file()]
    trained = 3 if when in ("prepare", "logits") else 2  # what was learned before is right
    assert kept.count("training.json") == trained and "checkpoint.pt" not in kept
    METHODS._files.clear()  # and with the features that are in the cache now
    driver.run(tmp_path / "after", **{**GRID, "methods": "linear_probe,noisy"})
    assert driver.numbers(tmp_path / "after") == undisturbed


def test_cached_features_are_those_of_the_clean_towers(
    undisturbed: dict[str, Any], tmp_path: Path, features: Path
) -> None:
    with pytest.raises(CellsFailed):
        driver.run(tmp_path / "a", **{**spoiled("prepare", "data"), "methods": "spoiling"})
    assert not list(features.glob("*.safetensors"))
    driver.run(tmp_path / "b", **{**GRID, "methods": "linear_probe,noisy"})
    assert list(features.glob("*.safetensors"))
    assert driver.numbers(tmp_path / "b") == undisturbed


def test_no_record_is_written_without_any_cache_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_FEATURES_MB", "0")
    with pytest.raises(CellsFailed, match="frozen towers were changed"):
        driver.run(tmp_path, **{**spoiled("logits", "hook"), "methods": "spoiling"})
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.long
def test_workers_load_the_backbone_again_as_well(
    undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(CellsFailed, match="frozen towers were changed"):
        driver.run(tmp_path, **spoiled("losses", "data"), jobs=2)
    assert driver.numbers(tmp_path) == undisturbed


def test_no_snapshot_holds_what_changed_towers_have_taught(tmp_path: Path) -> None:
    with pytest.raises(CellsFailed, match="frozen towers were changed"):
        driver.run(
            tmp_path,
            **{**spoiled("losses", "data"), "methods": "spoiling", "checkpoint_minutes": 0},
        )
    assert not list(tmp_path.rglob("checkpoint.pt"))


@pytest.mark.parametrize(
    ("how", "said"),
    [("data", "frozen towers were changed"), ("late", "ZeroDivisionError: after the change")],
)
def test_nor_does_one_from_before_they_were_looked_at_again(
    how: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "SHARE", -1.0)  # not looked at before the training ends
    saved: list[Path] = []

    def noted(path: Path, data: bytes) -> None:
        saved.append(path)
        write_whole(path, data)

    monkeypatch.setattr(snapshot, "write_whole", noted)
    options = {**spoiled("losses", how), "methods": "spoiling", "checkpoint_minutes": 0}
    with pytest.raises(CellsFailed, match=said):
        driver.run(tmp_path, **options)
    assert saved and not list(tmp_path.rglob("checkpoint.pt"))


def test_a_stop_names_no_checkpoint_that_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keeper, "SHARE", -1.0)
    options = {**spoiled("losses", "stop"), "methods": "spoiling", "quiet": False}
    with pytest.raises(Stopped) as stopped:
        driver.run(tmp_path, **options)
    assert not stopped.value.saved and not list(tmp_path.rglob("checkpoint.pt"))
    said = " ".join(capsys.readouterr().err.split())
    assert "ln_post.weight holds other numbers), so that its checkpoint is removed" in said


def test_a_signal_cuts_off_no_look_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "SHARE", -1.0)
    change = keeper.Keeper.change

    def interrupted(kept: keeper.Keeper) -> str | None:
        os.kill(os.getpid(), signal.SIGTERM)
        return change(kept)

    monkeypatch.setattr(keeper.Keeper, "change", interrupted)
    options = {**spoiled("losses", "late"), "methods": "spoiling", "checkpoint_minutes": 0}
    with pytest.raises(Stopped):
        driver.run(tmp_path, **options)
    assert list(tmp_path.rglob("spoiling")) and not list(tmp_path.rglob("checkpoint.pt"))


def test_changes_that_evaluation_takes_back_are_seen_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "SHARE", -1.0)
    with pytest.raises(CellsFailed, match=r"towers were changed \(.*ln_post.eps was changed"):
        driver.run(tmp_path, **{**spoiled("train", "data"), "methods": "spoiling"})
    assert not list(tmp_path.rglob("training.json")) and not list(tmp_path.rglob("checkpoint.pt"))


def test_whoever_loses_a_lease_leaves_no_changes_to_other_cells(
    undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def taken_over(lab: Lab) -> None:
        if not lost and (change := lab.keeper.change()):
            lost.append(change)
            raise LeaseLost("another worker has taken it over")

    monkeypatch.setattr(Lab, "vouch_for_now", taken_over)
    with pytest.raises(CellsFailed, match="1 of 3 cells failed") as caught:
        driver.run(tmp_path, **spoiled("losses", "data"))
    assert lost and "spoiling on" in str(caught.value)
    assert driver.numbers(tmp_path) == undisturbed


def test_changed_code_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VisionTower, "normed", VisionTower.normed)
    with pytest.raises(RunError, match=r"code that runs the towers .*VisionTower.normed was repl"):
        driver.run(tmp_path, **spoiled("losses", "code"))
    assert not driver.numbers(tmp_path)


def test_what_a_solver_learned_on_changed_towers_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solve = LinearProbe.solve

    def spoiling(self: LinearProbe, batches: Any) -> None:
        self.towers.model.visual.ln_post.weight.data.mul_(2)
        solve(self, batches)

    monkeypatch.setattr(LinearProbe, "solve", spoiling)
    with pytest.raises(CellsFailed, match="frozen towers were changed"):
        driver.run(tmp_path, **{**GRID, "methods": "linear_probe"})
    assert not list(tmp_path.rglob("training.json"))


@pytest.mark.parametrize("when", ["never", "losses", "init", "prepare", "logits"])
def test_the_contract_finds_it(when: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    METHODS._files.clear()
    cls = METHODS.load(METHODS.add_file(SPOILING)).cls
    point = "Nothing that the method does changes the towers"
    only(monkeypatch, point)
    (verdict,) = (v for v in examine(partial(cls, when=when)) if v.point.startswith(point))
    assert verdict.held == (when == "never")
    assert verdict.held or "visual.ln_post.weight holds other numbers" in verdict.detail
