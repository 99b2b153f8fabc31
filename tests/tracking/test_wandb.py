"""Weights & Biases: what a run holds, sending cells later, dashboards, and that it never harms."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

import promptbench
from promptbench import edge, records
from promptbench.analysis.runs import open_runs
from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.grids import Grid
from promptbench.mixing.facts import APART, DECISIONS, Role
from promptbench.observing.norms import NormSums
from promptbench.observing.passes import blocks, passes, prepared
from promptbench.planning import plan
from promptbench.planning.machine import Machine
from promptbench.recipe import Recipe
from promptbench.records import Record
from promptbench.running.session import execute
from promptbench.tracking import Listener, jsonl, wandb_facts, wandb_log
from tests import made_records
from tests.mixing.changing import changed, made
from tests.tracking import wandb_file

SMALL: dict[str, Any] = {
    "datasets": ["counts"], "shots": 1, "seeds": [1], "set": ["Recipe.epochs=2"], "quiet": True,
}  # fmt: skip

NORMS = {  # where the MMRL family has prompt tokens
    f"norms/{name}/block{block:02d}"
    for name in ("cls", "prompt", "ratio")
    for block in range(6, 13)
}


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def out(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlignedNorm, logged offline while it was computed."""
    pytest.importorskip("wandb")
    folder = tmp_path_factory.mktemp("wandb") / "runs"
    promptbench.run("alignednorm", "few_shot", out=folder, wandb="offline", **SMALL)
    return folder


def record_of(out: Path) -> tuple[Path, Record]:
    (path,) = records.find([out / "demo" / "few_shot" / "alignednorm"])
    return path, records.read(path)


def run_file(folder: Path, record: Record) -> dict[str, Any]:
    import wandb

    wandb.teardown()  # the core writes behind our back; afterwards the files are complete
    (path,) = folder.glob(f"wandb/offline-run-*/run-{record.cell_id[:24]}.wandb")
    return wandb_file.read(path)


def check_run(found: dict[str, Any], record: Record) -> None:
    assert found["id"] == record.cell_id[:24] and found["job_type"] == "few_shot"
    assert found["exit_code"] == 0
    assert set(found["tags"]) == {"demo", "few_shot", "alignednorm", "unified", "paper"}
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
    assert "run_table" in artifacts


def norms(logged: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in logged.items() if key.startswith("norms/")}


def test_an_offline_run_holds_everything(out: Path) -> None:
    _, record = record_of(out)
    check_run(run_file(out, record), record)


def test_a_finished_cell_is_sent_later_from_its_record(out: Path, tmp_path: Path) -> None:
    path, record = record_of(out)
    found = call("wandb", "sync", path, "--mode", "offline", "--out", tmp_path)
    assert found.exit_code == 0, found.output
    later, live = run_file(tmp_path, record), run_file(out, record)
    check_run(later, record)
    for key in ("group", "config", "tags"):
        assert later[key] == live[key]
    epochs = len(record.training.losses)
    assert list(map(norms, later["history"][:epochs])) == list(map(norms, live["history"][:epochs]))


def test_norms_are_those_that_the_analysis_gives_for_these_images(out: Path) -> None:
    path, record = record_of(out)
    logged = norms(run_file(out, record)["history"][len(record.training.losses) - 1])
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
    assert found == pytest.approx(logged, rel=1e-5)


def test_cells_of_one_training_and_of_several_processes_have_their_norms(
    cache: Path, tmp_path: Path
) -> None:
    """Unified and decoupled share a training; which process trains is a matter of chance."""
    pytest.importorskip("wandb")
    settings = {**SMALL, "wandb": "offline", "limit": 10}
    found = promptbench.run("coop,mmrlpp", "base_to_new", out=tmp_path, jobs=2, **settings)
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


KILLED = """
import os, signal, sys
import promptbench
from promptbench.tracking.wandb_runs import WandbRuns

ended = WandbRuns._epoch

def killed(self, epoch):
    if epoch.number == int(sys.argv[2]):  # its snapshot is written, and no more
        os.kill(os.getpid(), signal.SIGKILL)
    ended(self, epoch)

WandbRuns._epoch = killed
promptbench.run(
    "vpt", "few_shot", out=sys.argv[1], wandb="offline", datasets=["counts"], shots=1, seeds=[1],
    set=["Recipe.epochs=4"], quiet=True, baseline=False,
)
"""


def test_a_killed_and_resumed_run_holds_all_epochs_once(cache: Path, tmp_path: Path) -> None:
    """Killed twice: in what was the first run, and in the one that had taken its epochs over."""
    wandb = pytest.importorskip("wandb")
    for epoch in ("1", "2"):
        killed = [sys.executable, "-c", KILLED, str(tmp_path), epoch]
        assert subprocess.run(killed, capture_output=True).returncode == -signal.SIGKILL
        time.sleep(1)  # the folder of a run is named after the second it started in
    options = {**SMALL, "set": ["Recipe.epochs=4"], "baseline": False}
    (record,) = promptbench.run("vpt", "few_shot", out=tmp_path, wandb="offline", **options)
    wandb.teardown()
    *_, last = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    history = wandb_file.read(last)["history"]
    assert [step["_step"] for step in history] == [1, 2, 3, 4, 5]  # the table comes after them
    losses = [{k[5:]: v for k, v in step.items() if k.startswith("loss/")} for step in history[:4]]
    assert losses == record.training.losses
    assert all(step["lr"] > 0 and norms(step) for step in history[:4])


# What a cell does not know before it is computed, or what follows from the facts that it knows.
FOLLOWS = {
    "method.learned_parameters": "from code and settings",
    "method.source_sha256": "the provider holds the hash of a plugin's module",
    "backbone.image_size": "from the weights",
    "data.*.card_version": "the card's hash covers it",
    "training.epochs": "from the recipe",
    "training.steps": "from recipe and data",
    "targets.*.split": "from the protocol",
    "targets.*.shift": "from the protocol",
    "targets.*.total": "from data and limit",
}


@pytest.mark.parametrize(
    "path", [path for path, decision in DECISIONS.items() if decision.role in APART]
)
def test_what_keeps_records_out_of_a_row_makes_another_group(path: str) -> None:
    first = made(1)
    other = changed(made(2), path)
    same = wandb_facts.of_record(first).group == wandb_facts.of_record(other).group
    assert same == (path in FOLLOWS)
    assert (path in FOLLOWS) != any(path in held for held in wandb_facts.HOLDS.values())


def test_other_versions_and_seeds_are_in_one_group() -> None:
    marks = [
        path for path, decision in DECISIONS.items() if decision.role in (Role.MARK, Role.SEED)
    ]
    groups = {wandb_facts.of_record(changed(made(2), path)).group for path in marks}
    assert groups == {wandb_facts.of_record(made(1)).group}


def test_groups_are_configurations_without_the_seed() -> None:
    def groups(**changes: Any) -> list[str]:
        grid, options = Grid(("coop",), ("few_shot",)), {**SMALL, "seeds": [1, 2], **changes}
        (request,), _ = edge.asked(grid, options)
        cells = plan.build(request, "fp32").cells
        return [wandb_facts.of_cell(c).group for c in cells if c.method.name == "coop"]

    first, second = groups()
    assert first == second and first.startswith("few_shot/coop/counts-1shot-paper-")
    assert groups(set=["Recipe.epochs=3"])[0] != first


def test_accuracy_per_class_names_the_classes(out: Path) -> None:
    _, record = record_of(out)
    rows = wandb_facts.per_class(record)
    (target,) = record.targets
    assert [row[3] for row in rows] == target.correct and len(rows) == 4
    assert rows[0][:3] == ["counts/all", 0, "one object"]
    assert sum(row[3] for row in rows) / sum(row[4] for row in rows) * 100 == target.accuracy


class Broken(types.ModuleType):
    """A client whose every call fails, or only those of a run."""

    class Error(Exception):
        pass

    def __init__(self, at: str) -> None:
        super().__init__("wandb")
        self._at = at

    def Settings(self, **_: Any) -> None:
        return None

    def init(self, **_: Any) -> Any:
        if self._at == "init":
            raise OSError("no route to host")

        def fail(*_: Any, **__: Any) -> None:
            raise RuntimeError("the service has gone")

        return types.SimpleNamespace(
            log=fail, finish=fail, summary=types.SimpleNamespace(update=fail)
        )


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (Broken("init"), "no route to host"),
        (Broken("log"), "the service has gone"),
        (None, "needs the package wandb"),
    ],
    ids=["init", "log", "missing"],
)
def test_a_run_never_stops_because_of_it(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Any, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", client)
    with pytest.warns(UserWarning, match=said) as warned:
        found = promptbench.run("coop", "few_shot", out=tmp_path, wandb="online", **SMALL)
    assert len(found) == 2 and len([w for w in warned if "wandb sync" in str(w.message)]) == 1


def test_sync_says_what_is_wrong(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no records" in call("wandb", "sync", tmp_path).stderr
    monkeypatch.setitem(sys.modules, "wandb", Broken("init"))
    refused = call("wandb", "sync", out, "--out", tmp_path)
    assert refused.exit_code == 2 and "no route to host" in refused.stderr


STRANGE: list[tuple[dict[str, Any], str]] = [
    ({"foo": 1}, "unknown are foo"),
    ({"lr": "x"}, "lr: Input should be a valid number"),
    ({"epochs": {"1": 2}}, "epochs: no number"),
    ({"lr": -1.0}, "Recipe.lr must be a number from 0 on"),
]


@pytest.mark.parametrize(("change", "reason"), STRANGE, ids=[reason for _, reason in STRANGE])
def test_a_recipe_of_a_stranger_is_a_sentence(change: dict[str, Any], reason: str) -> None:
    plain = made_records.record()
    recipe = asdict(Recipe()) | change
    training = plain.training.model_copy(update={"recipe": recipe, "losses": [{"total": 1.0}]})
    with pytest.raises(UserError, match=re.escape(reason)):
        wandb_log.log_epochs(None, plain.model_copy(update={"training": training}), {})


def test_learned_parameters_that_are_none_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / records.PARAMETERS).write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="does not hold learned parameters"):
        wandb_facts.learned_norms(tmp_path)


def test_a_log_of_a_stranger_is_read_within_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(
        "[" * 100_000 + "\n" + "9" * 10_000 + '\n{"event": "started", "training": "t"}\n'
        '{"event": "epoch", "epoch": 1, "norms": {"a": 1.0}}\n'
    )
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    places = [log, tmp_path / "fifo", tmp_path / "zero"]
    assert jsonl.norms_of(places) == {"t": {0: {"a": 1.0}}}
    monkeypatch.setattr(jsonl, "_MOST_BYTES", 10)
    with pytest.raises(UserError, match=r"cannot read the log .*larger than 10 bytes"):
        jsonl.norms_of([log])


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
