"""Sweeps of Weights & Biases: the file, and the trial that an agent starts with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench import records, spaces
from promptbench.cli import main
from promptbench.core.registry import METHODS
from promptbench.errors import UserError
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.spaces import Choice, LogUniform, Space, Uniform
from promptbench.tracking.wandb_place import Place
from promptbench.tuning import wandb_sweep
from tests.tracking import wandb_file

SMALL = ["--protocol", "base_to_new", "--datasets", "counts", "--shots", "2", "--seeds", "1"]


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["wandb", *map(str, arguments)])


def test_a_sweep_is_written_for_its_agents(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    file = tmp_path / "sweep.yaml"
    more = ["--set", "Recipe.epochs=2", "--set", "Recipe.flip=False", "--compile"]
    found = call("sweep", "coop", *more, *SMALL, "--strategy", "random", "-o", file)
    assert found.exit_code == 0, found.output
    made = yaml.safe_load(file.read_text())
    assert made["method"] == "random" and made["program"] == "promptbench"
    assert made["metric"] == {"name": "validation/accuracy", "goal": "maximize"}
    space = spaces.load(METHODS.load("coop"))
    assert set(made["parameters"]) == set(space.parameters)
    lr = space.parameters["Recipe.lr"]
    bounds = {"distribution": "log_uniform_values", "min": lr.low, "max": lr.high}
    assert made["parameters"]["Recipe.lr"] == bounds
    drawn = {"Recipe.lr": {"value": 0.002}, "CoOp.class_token_position": {"value": "front"}}
    (text,) = utils.create_sweep_command_args({"args": drawn})["args_json"]  # as an agent does
    command = [text if each == "${args_json}" else each for each in made["command"]]
    assert command == ["${program}", "wandb", "trial", "coop", text, *SMALL, *more]
    assert wandb_sweep.bindings("coop", text) == (
        "Recipe.lr = 0.002",
        "CoOp.class_token_position = 'front'",
    )


def test_every_distribution_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        "a": Uniform(0.0, 1.0),
        "b": Uniform(1, 4, whole=True),
        "c": LogUniform(1e-4, 1e-2),
        "d": LogUniform(1, 64, whole=True),
        "e": Choice(((1, 2), (3, 4))),
    }
    monkeypatch.setattr(spaces, "load", lambda _: Space(own))
    found = wandb_sweep.sweep("coop", "bayes", [])["parameters"]
    assert found == {
        "a": {"distribution": "uniform", "min": 0.0, "max": 1.0},
        "b": {"distribution": "int_uniform", "min": 1, "max": 4},
        "c": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
        "d": {"distribution": "q_log_uniform_values", "q": 1, "min": 1, "max": 64},
        "e": {"values": [[1, 2], [3, 4]]},
    }
    values = json.dumps({"a": 1.0, "d": 16.0, "e": [3, 4]})
    assert wandb_sweep.bindings("coop", values) == ("a = 1.0", "d = 16", "e = (3, 4)")


@pytest.mark.parametrize("name", [name for name in METHODS.names() if name != "zeroshot"])
def test_every_method_that_can_be_tuned_has_a_sweep(name: str) -> None:
    space = spaces.load(METHODS.load(name))
    if space.untuned:
        with pytest.raises(UserError, match="has nothing to tune"):
            wandb_sweep.sweep(name, "bayes", [])
    else:
        made = wandb_sweep.sweep(name, "bayes", [])
        assert set(made["parameters"]) == set(space.parameters) and made["command"][3] == name
        json.dumps(made)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "zeroshot", *SMALL], "zeroshot has nothing to tune"),
        (["sweep", "coop", *SMALL, "--strategy", "grid"], "a grid needs values, and Recipe.lr"),
        (["sweep", "coop", *SMALL, "--strategy", "hill"], "hill"),
        (["sweep", "coop", "--protcol", "base_to_new"], "no such option"),
        (["sweep", "coop", "--protocol", "base_to_nw"], "unknown protocol 'base_to_nw'"),
        (["sweep", "coop", "--protocol", "base_to_new,few_shot"], "under one protocol"),
        (["trial", "coop", "[1]", *SMALL], "a JSON object"),
        (["trial", "coop", "{", *SMALL], "cannot be parsed as JSON"),
        (["trial", "coop", '{"Recipe.epochs": 3}', *SMALL], "not in the search space of coop"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], said: str) -> None:
    found = call(*arguments)
    assert found.exit_code == 2 and said in found.output


def test_a_trial_is_one_run_with_its_validation_accuracy(cache: Path, tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    asked = Request(
        ("coop",), "base_to_new", datasets=["counts"], shots=[2], seeds=[1, 2],
        set=["Recipe.epochs=2"],
    )  # fmt: skip
    machine, place = Machine(out=tmp_path, wandb="offline", quiet=True), Place("offline", tmp_path)
    accuracy = wandb_sweep.trial(asked, '{"Recipe.lr": 0.01}', machine, place)
    wandb.teardown()
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    run = wandb_file.read(file)
    found = [records.read(path) for path in tmp_path.rglob(records.RECORD)]
    assert len(found) == 2 and all(each.is_trial and not each.targets for each in found)
    assert {each.training.recipe["lr"] for each in found} == {0.01}
    held = [each.validation.chosen for each in found if each.validation is not None]
    assert run["summary"]["validation/accuracy"] == accuracy == sum(held) / 2
    assert run["job_type"] == "trial" and run["exit_code"] == 0
    assert run["config"]["Recipe.lr"] == 0.01
    assert not [key for key in run["summary"] if key.startswith("accuracy/")]
