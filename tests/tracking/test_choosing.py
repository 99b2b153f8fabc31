"""Which trackers a run has: what is asked for, what is refused, and where each of them lives."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.core.registry import TRACKERS
from promptbench.errors import UserError
from promptbench.planning.machine import Machine
from promptbench.tracking import choosing

FILE = """
from promptbench.api import Tracker, UserError

made = []


class Ours(Tracker):
    title, takes, in_every_process = "Ours", "anything", {everywhere}

    def __init__(self, out, options):
        super().__init__(out, options)
        made.append(self)
        if options.argument == "refused":
            raise UserError("that is none")
        if options.argument == "broken":
            raise RuntimeError("out of order")
"""


@pytest.fixture(params=[False, True], ids=["run", "process"])
def ours(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, bool]:
    """The name of a tracker in a file, and whether it lives in every process."""
    path = tmp_path / f"ours_{request.param}_{tmp_path.name.replace('-', '_')}.py"
    path.write_text(FILE.format(everywhere=request.param))
    return TRACKERS.add_file(path), request.param


def asked(**options: Any) -> Machine:
    return Machine(**options)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, []),
        ({"track": "wandb, jsonl"}, ["wandb", "jsonl"]),
        ({"track": ["wandb,jsonl", "terminal"]}, ["wandb", "jsonl", "terminal"]),
        ({"track": "", "wandb": "online"}, ["wandb:online"]),
        ({"track": "wandb", "wandb": "offline"}, ["wandb", "wandb:offline"]),
    ],
)
def test_names_are_split_and_wandb_is_short_for_one(
    options: dict[str, Any], found: list[str]
) -> None:
    assert list(asked(**options).trackers) == found


def test_a_run_has_the_terminal_and_the_log_and_what_is_asked_for() -> None:
    always = {"terminal": "", "jsonl": ""}
    assert choosing.arguments([], quiet=False) == always
    assert choosing.arguments([], quiet=True) == {"jsonl": ""}
    for track in (["wandb:online", "wandb"], ["wandb", "wandb:online"], ["wandb:online"] * 2):
        assert choosing.arguments(track, quiet=False) == {**always, "wandb": "online"}


@pytest.mark.parametrize(
    ("track", "said"),
    [
        ("wnadb", "unknown tracker 'wnadb'; did you mean 'wandb'?"),
        ("jsonl,:online", "unknown tracker ''; known: jsonl, mlflow, tensorboard, terminal, wandb"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(track: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):  # before anything is planned
        asked(track=track)
    call = ["run", "--method", "coop", "--protocol", "few_shot", "--track", track]
    found = CliRunner().invoke(main, call)
    assert found.exit_code == 2 and said in found.stderr


@pytest.mark.parametrize(
    ("track", "said"),
    [
        ("terminal:x", "the tracker terminal takes nothing behind its name: 'x'"),
        ("wandb:onlin", "wandb cannot be used: unknown mode 'onlin'; did you mean 'online'"),
        ("wandb:online,wandb:offline", "wandb cannot be both wandb:online and wandb:offline"),
    ],
)
def test_an_argument_that_means_nothing_is_refused(tmp_path: Path, track: str, said: str) -> None:
    pytest.importorskip("wandb")
    with pytest.raises(UserError, match=said):
        choosing.of_run(asked(track=track).trackers, tmp_path, quiet=True)


def test_a_tracker_refuses_before_anything_is_computed_wherever_it_lives(
    ours: tuple[str, bool], tmp_path: Path
) -> None:
    name, _ = ours
    with pytest.raises(UserError, match=f"the tracker {name} cannot be used: that is none$"):
        choosing.of_run([f"{name}:refused"], tmp_path, quiet=True)


def test_a_tracker_is_made_where_it_lives(ours: tuple[str, bool], tmp_path: Path) -> None:
    name, everywhere = ours
    run = choosing.of_run([f"{name}:a:b"], tmp_path, quiet=True)
    process = choosing.of_process([f"{name}:a:b"], tmp_path, quiet=True)
    logs = 1  # the log of every process
    assert (len(run._all), len(process._all)) == ((0, 2) if everywhere else (1, logs))
    (*_, made) = __import__(TRACKERS.load(name).cls.__module__).made
    assert made.out == tmp_path and made.options.argument == "a:b" and made.options.quiet


def test_a_tracker_that_breaks_is_said_once(ours: tuple[str, bool], tmp_path: Path) -> None:
    name, _ = ours
    with pytest.warns(UserWarning, match="out of order") as warned:
        for found in (choosing.of_run, choosing.of_process):
            found([f"{name}:broken"], tmp_path, quiet=True).close()
    assert len(warned) == 1


def test_the_core_names_no_tracker() -> None:
    """Only `choosing` says what every run has, and the request what `--wandb` is short for."""
    core = Path(choosing.__file__).parents[1]
    for room in ("running", "lab", "training", "predicting"):
        for path in (core / room).glob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text())))
            said = {node.value for node in nodes if isinstance(node, ast.Constant)}
            assert not said & set(TRACKERS.names()), path
    members = "promptbench.trackers"
    naming = {path.name for path in core.rglob("*.py") if members in path.read_text()}
    assert naming == {
        "__init__.py",
        "jsonl.py",
    }  # the registry, and a pointer from reader to writer


def test_tables_of_all_cells_are_left_to_who_started_the_run(tmp_path: Path) -> None:
    """A worker that wrote them as well would write one run's files a second time."""
    pytest.importorskip("wandb")
    started = choosing.of_run(["wandb:offline"], tmp_path, quiet=True)
    worker = choosing.of_run(["wandb:offline"], tmp_path, quiet=True, whole=False)
    assert (len(started._all), len(worker._all)) == (1, 0)
