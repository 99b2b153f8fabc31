"""Weights & Biases: what runs hold that were logged while their cells were computed, or later."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from click.testing import CliRunner

import promptbench
from promptbench.analysis.runs import open_runs
from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.planning import edge
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine
from promptbench.records import Record
from promptbench.running.observing.norms import NormSums
from promptbench.running.observing.passes import blocks, passes, prepared
from promptbench.running.session import execute
from promptbench.support import whereabouts
from promptbench.tracking import Listener
from tests.faults import driver
from tests.tracking import wandb_file
from tests.tracking.wandb_runs import NORMS, SMALL, Broken, norms, record_of, run_file


def check_run(found: dict[str, Any], record: Record) -> None:
    assert found["id"] == record.cell_id[:24] and found["job_type"] == "few_shot"
    assert found["exit_code"] == 0
    tags = {"demo", "few_shot", "alignednorm", "unified", "paper", "counts", "1-shot"}
    assert set(found["tags"]) == {*tags, record.backbone.name}
    assert found["config"]["recipe"]["lr"] == record.training.recipe["lr"]
    assert found["config"]["parameters"] == record.method.parameters
    for step, losses in enumerate(record.training.losses):
        logged = found["history"][step]
        assert {k[5:]: v for k, v in logged.items() if k.startswith("loss/")} == losses
        assert logged["lr"] > 0 and logged["_step"] == step + 1
        assert set(norms(logged)) == NORMS
    assert {"token_norm", "proj_norm", "ce_class", "total"} <= set(record.training.losses[0])
    summary = found["summary"]
    assert summary["accuracy/counts/all"] == record.targets[0].accuracy
    assert summary["numbers_sha256"] == record.numbers_sha256
    assert summary["peak_memory_mb"] > 0
    assert any(key.startswith("norm/") for key in summary)
    artifacts = dict(found["artifacts"])
    assert set(artifacts["cell"]) == {"record.json", "config.gin", "learned.safetensors"}
    assert {"per_class"} <= set(found["tables"])


def test_an_offline_run_holds_everything(logged: Path) -> None:
    _, record = record_of(logged)
    check_run(run_file(logged, record), record)


def test_a_finished_cell_is_sent_later_from_its_record(logged: Path, tmp_path: Path) -> None:
    path, record = record_of(logged)
    asked = ["wandb", "sync", str(path), "--mode", "offline", "--out", str(tmp_path)]
    found = CliRunner().invoke(main, asked)
    assert found.exit_code == 0, found.output
    later, live = run_file(tmp_path, record), run_file(logged, record)
    check_run(later, record)
    assert live["config"]["host"] == whereabouts.host() and "job" in live["config"]
    for key in ("group", "config", "tags"):
        assert later[key] == live[key]
    epochs = len(record.training.losses)
    assert list(map(norms, later["history"][:epochs])) == list(map(norms, live["history"][:epochs]))


def test_norms_are_those_that_the_analysis_gives_for_these_images(logged: Path) -> None:
    path, record = record_of(logged)
    last = norms(run_file(logged, record)["history"][len(record.training.losses) - 1])
    (run,) = open_runs([path], Machine(), Listener())
    made, method, lab = run.learner(), run.method(), run.lab
    assert len(made.shots) < 32  # all images, then
    (batch,) = made.shots.plain(lab.backbone.preprocess, 1)
    sums = NormSums()
    with torch.inference_mode():
        ready = prepared(method, made.classes, lab.compute)
        for each in passes(method, batch.images, ready, lab.compute):
            for seen in blocks(each, method.towers.image):
                sums.add(seen)
    found = {
        f"norms/{quantity.removesuffix('_norm')}/block{block:02d}": value
        for stage, block, quantity, value in sums.numbers()
        if stage == "output" and quantity in ("cls_norm", "prompt_norm", "ratio")
    }
    assert found == pytest.approx(last, rel=1e-5)


@pytest.mark.long
def test_cells_of_one_training_and_of_several_processes_have_their_norms(
    cache: Path, tmp_path: Path, installed: str
) -> None:
    """Unified and decoupled share a training; which process trains is a matter of chance. Another
    tracker hears of all processes."""
    pytest.importorskip("wandb")
    settings = {**SMALL, "wandb": "offline", "limit": 10, "track": installed}
    found = promptbench.run("coop,mmrlpp", "base_to_new", out=tmp_path, jobs=2, **settings)
    heard = sorted(
        line.split(";")[1] for line in (tmp_path / "curves.csv").read_text().splitlines()
    )
    assert heard == ["counts/base"] * 4 + ["counts/new"] * 4 + ["epoch"] * 4
    logged = {
        (record.method.name, record.inference): [
            norms(step) for step in run_file(tmp_path, record)["history"] if "lr" in step
        ]
        for record in found
    }
    assert logged["coop", "unified"] == [{}, {}] and logged["zeroshot", "unified"] == []
    unified = logged["mmrlpp", "unified"]
    assert [set(step) for step in unified] == [NORMS, NORMS]
    assert logged["mmrlpp", "decoupled"] == unified


class _Killed(BaseException):
    pass


class _Killer(Listener):
    """Ends the process, so to speak, when the second epoch is saved and nobody has logged it."""

    def epoch_ended(self, cell: Any, epoch: Any) -> None:
        if epoch.number == 1:
            raise _Killed


def test_a_run_that_was_killed_and_resumed_has_the_epochs_of_before(
    cache: Path, tmp_path: Path
) -> None:
    wandb = pytest.importorskip("wandb")
    changes = {"set": ["Recipe.epochs=3"], "wandb": "offline", "out": tmp_path, "baseline": False}
    asked = edge.asked(Grid(("alignednorm",), ("few_shot",)), {**SMALL, **changes})
    with pytest.raises(_Killed):
        execute(*asked, _Killer())
    wandb.teardown()
    (first,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert [step["_step"] for step in wandb_file.read(first)["history"]] == [1]
    first.unlink()
    (record,) = execute(*asked)
    history = run_file(tmp_path, record)["history"][:3]
    assert [step["_step"] for step in history] == [1, 2, 3]  # each once
    for step, losses in zip(history, record.training.losses, strict=True):
        assert {k[5:]: v for k, v in step.items() if k.startswith("loss/")} == losses
        assert step["lr"] > 0
    assert [bool(norms(step)) for step in history] == [True, False, True]  # as log.jsonl holds them


FOUR: dict[str, Any] = {**SMALL, "set": ["Recipe.epochs=4"], "baseline": False, "wandb": "offline"}


def killed(out: Path, at: int) -> None:
    """Run in a process of its own; the snapshot of an epoch is written, and no more."""
    from promptbench.trackers.wandb import WandbRuns

    logged = WandbRuns._log

    def log(self: WandbRuns, epoch: Any) -> None:
        if epoch.number == at:
            os.kill(os.getpid(), signal.SIGKILL)
        logged(self, epoch)

    mock.patch.object(WandbRuns, "_log", log).start()
    promptbench.run("vpt", "few_shot", out=out, **FOUR)


# In the short form: the test above, whose run ends by an exception in this process.
@pytest.mark.long
def test_a_killed_and_resumed_run_holds_all_epochs_once(cache: Path, tmp_path: Path) -> None:
    """Killed twice: in what was the first run, and in the one that had taken its epochs over."""
    wandb = pytest.importorskip("wandb")
    for epoch in (1, 2):
        child = driver.child(killed, tmp_path, epoch)
        child.join()
        assert child.exitcode == -signal.SIGKILL
        time.sleep(1)  # the folder of a run is named after the second it started in
    (record,) = promptbench.run("vpt", "few_shot", out=tmp_path, **FOUR)
    wandb.teardown()
    *_, last = sorted(tmp_path.glob(f"wandb/offline-run-*/run-{record.cell_id[:24]}.wandb"))
    history = wandb_file.read(last)["history"]
    assert [step["_step"] for step in history] == [1, 2, 3, 4, 5]  # the table comes after them
    losses = [{k[5:]: v for k, v in step.items() if k.startswith("loss/")} for step in history[:4]]
    assert losses == record.training.losses
    assert all(step["lr"] > 0 and norms(step) for step in history[:4])


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (Broken("init"), r"failed in cell_started \(OSError: no route to host"),
        (Broken("log"), r"failed in epoch_ended \(RuntimeError: the service has gone"),
    ],
    ids=["init", "log"],
)
def test_a_run_never_stops_because_of_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Any, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", client)
    tables = pytest.warns(UserWarning, match="failed in close .* sends the tables later")
    with tables, pytest.warns(UserWarning, match=f"the tracker wandb {said}") as warned:
        options = {**SMALL, "baseline": False}
        found = promptbench.run("coop", "few_shot", out=tmp_path, wandb="online", **options)
    later = f"goes on without it, and `promptbench wandb sync {tmp_path}` sends finished cells"
    assert len(found) == 1 and len([w for w in warned if later in str(w.message)]) == 1


@pytest.mark.parametrize("option", [{"wandb": "offline"}, {"track": "wandb"}], ids=str)
def test_a_missing_package_is_named_before_anything_is_computed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: dict[str, str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    needed = r"wandb cannot be used: .* needs the package wandb: pip install 'promptbench-vlm\["
    with pytest.raises(UserError, match=needed):
        promptbench.run("coop", "few_shot", out=tmp_path, jobs=2, **option, **SMALL)
    assert not list(tmp_path.iterdir())
