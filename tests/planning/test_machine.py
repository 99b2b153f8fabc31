"""What is asked and how it is done: two halves of a run's options, plain data without effects."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import promptbench
from promptbench.cli import asking, main, options
from promptbench.core import registry
from promptbench.core.registry import METHODS, PROTOCOLS
from promptbench.errors import UserError
from promptbench.planning import edge, plan
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.running import session

METHOD = "from promptbench.methods.coop import CoOp\n\n\nclass {}(CoOp):\n    title = 'Added'\n"
PROTOCOL = (
    "from promptbench.protocols.base_to_new import BaseToNew\n\n\n"
    "class {}(BaseToNew):\n    title = 'Added'\n"
)


def test_both_are_frozen_and_hold_no_list() -> None:
    request = Request(["coop"], "base_to_new", datasets=["counts"], seeds=[1], set=["A.b=1"])
    machine = Machine(track=["wandb"], plugin=["nowhere.py"])  # type: ignore[list-item]
    for each, name in ((request, "protocol"), (machine, "jobs")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(each, name, 1)
        assert hash(each) == hash(pickle.loads(pickle.dumps(each)))
        assert pickle.loads(pickle.dumps(each)) == each == dataclasses.replace(each)


def test_no_option_is_of_both() -> None:
    halves = [{f.name for f in dataclasses.fields(cls) if f.init} for cls in (Request, Machine)]
    assert not halves[0] & halves[1]


def test_only_precision_of_a_machine_enters_a_cell(tmp_path: Path) -> None:
    request = Request("coop", "base_to_new", datasets="counts", seeds=1)
    one = plan.build(request, "fp32").cells
    assert [cell.id for cell in plan.build(request, "fp32", tmp_path).cells] == [c.id for c in one]
    assert [cell.id for cell in plan.build(request, "bf16").cells] != [cell.id for cell in one]


def test_plugins_are_registered_by_who_makes_requests_and_by_nothing_else(tmp_path: Path) -> None:
    method, protocol = tmp_path / "added_method.py", tmp_path / "added_protocol.py"
    method.write_text(METHOD.format("AddedMethod"))
    protocol.write_text(PROTOCOL.format("AddedProtocol"))
    files: list[Any] = [method, str(protocol)]
    machine = Machine(plugin=files)
    assert "added_method" not in METHODS.names() and not registry.files()
    with pytest.raises(UserError, match="unknown method 'added_method'"):
        Request("added_method", "base_to_new")
    grid = Grid(("added_method",), ("added_protocol",))
    (request,), again = edge.asked(grid, {"plugin": files, "datasets": "counts"})
    assert (request.methods, request.protocol) == (("added_method",), "added_protocol")
    assert again == machine and registry.files() == [method.resolve(), protocol.resolve()]
    assert "added_protocol" in PROTOCOLS.names()
    registry.add_files(files)  # once more changes nothing
    assert registry.files() == [method.resolve(), protocol.resolve()]


COMMANDS = (
    "run", "plan", "report", "compare", "reproduce", "validate", "analyze all", "ls methods",
    "info coop", "leaderboard verify", "leaderboard submit", "leaderboard build",
    "leaderboard show",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_reads_names_takes_plugin_files(command: str, tmp_path: Path) -> None:
    words = command.split()
    known = ["--method", "coop", "--protocol", "few_shot"] if command in ("run", "plan") else []
    nowhere = tmp_path / "nowhere.py"
    done = CliRunner().invoke(main, [*words, "--plugin", str(nowhere), *known])
    assert done.exit_code == 2
    assert "nowhere.py is not a Python file that exists" in " ".join(done.output.split())


def test_the_protocol_of_a_file_is_known_to_report_and_described(tmp_path: Path) -> None:
    file = tmp_path / "told_protocol.py"
    file.write_text(PROTOCOL.format("ToldProtocol"))
    where = ["--protocol", "told_protocol", "--plugin", str(file), str(tmp_path)]
    done = CliRunner().invoke(main, ["report", *where])
    assert "no records under" in done.output and "unknown protocol" not in done.output
    assert "Added (told_protocol" in CliRunner().invoke(main, ["info", str(file)]).output


# --- Python and the command line ----------------------------------------------------------------


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `promptbench.run` hands to `execute`, which is not carried out."""
    found: list[Any] = []

    def execute(requests: Any, machine: Machine) -> list[Any]:
        found.append((requests, machine))
        return []

    monkeypatch.setattr(session, "execute", execute)
    return found


def typed(method: str, protocol: str, **more: Any) -> Any:
    """What the command line makes of options."""
    names = {"methods": method.split(","), "protocols": protocol.split(",")}
    read = {
        each: options.names(None, None, ",".join(names[each]))  # type: ignore[arg-type]
        for each in names
    }
    return asking.asked(**read, grid=None, bindings=(), gin=(), **more)


@pytest.mark.parametrize(
    ("method", "protocol"),
    [
        ("coop", "base_to_new, few_shot"),
        (" coop , maple", "base_to_new"),
        (["coop", " maple "], [" base_to_new ", "few_shot"]),
        (["coop, maple", "coop"], ("base_to_new,few_shot", "base_to_new")),
        ("coop,coop", "few_shot,few_shot"),
        ("all", "all"),
        ("coop, all", "few_shot, all"),
        (["all"], {"few_shot": 1}.keys()),
    ],
)
def test_names_are_read_as_on_the_command_line(
    method: Any, protocol: Any, executed: list[Any]
) -> None:
    promptbench.run(method, protocol, fill_cores=True)  # as commands do
    words = [each if isinstance(each, str) else ",".join(each) for each in (method, protocol)]
    assert executed == [typed(*words)]
    (requests, _) = executed[0]
    assert len({r.protocol for r in requests}) == len(requests) >= 1
    assert all(len(set(r.methods)) == len(r.methods) for r in requests)


def test_blanks_and_repetitions_mean_nothing_in_any_option(executed: list[Any]) -> None:
    loose = {
        "suite": " demo", "preset": "paper ", "inference": " auto ", "augment": "host ",
        "device": " cpu", "precision": "fp32 ", "wandb": " off", "on": " local",
        "datasets": " counts, fills ,counts", "seeds": "2, 2,1", "shots": [4, 4],
    }  # fmt: skip
    exact = {
        "suite": "demo", "preset": "paper", "inference": "auto", "augment": "host",
        "device": "cpu", "precision": "fp32", "wandb": "off", "on": "local",
        "datasets": ["counts", "fills"], "seeds": [2, 1], "shots": 4,
    }  # fmt: skip
    promptbench.run("coop", "few_shot", **loose)
    promptbench.run("coop", "few_shot", **exact)
    assert executed[0] == executed[1]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("seed", "seeds"), ("job", "jobs"), ("devices", "device"), ("preset_", "preset")],
)
def test_unknown_options_are_compared_with_those_of_both(name: str, nearest: str) -> None:
    with pytest.raises(UserError, match=f"unknown option '{name}'.*'{nearest}'"):
        promptbench.run("coop", "base_to_new", **{name: 1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on": 3}, "on must be a name, not 3"),
        ({"on": "proceses"}, "unknown executor 'proceses'; did you mean 'processes'"),
        ({"track": 3}, "track must be a name, or several"),
        ({"compile": "yes"}, "compile must be True or False, not 'yes'"),
        ({"out": None, "jobs": 1.5}, "jobs must be a whole number, not 1.5"),
        ({"wandb": "of"}, "unknown wandb 'of'; did you mean 'off'"),
        ({"workers": -1}, "--workers must be at least 0, not -1"),
        ({"workers": 1025}, "--workers must be at most 1024, not 1025"),
        ({"checkpoint_minutes": float("nan")}, "--checkpoint-minutes must be at least 0, not nan"),
        ({"plugin": [3]}, "plugin must be a path"),
    ],
)
def test_a_machine_refuses_by_the_name_of_the_option(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Machine(**changes)
    with pytest.raises(UserError, match=message):
        promptbench.run("coop", "base_to_new", **changes)
