"""What workers see on machines, and what is made of it; the base class starts them here."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.planning import profiles
from promptbench.planning.machine import Machine
from promptbench.planning.profiles import Profile
from promptbench.running.executor import Executor
from promptbench.workers.plan import places
from promptbench.workers.probing import checking, probe
from promptbench.workers.probing.checking import Finding


def found(**facts: Any) -> dict[str, Any]:
    return {
        "token": "t",
        "host": "n1",
        "job": "4_1",
        "apart": False,
        "clock": 0.1,
        "gpus": [{"name": "GPU", "gib": 80.0}],
        "visible": "MIG-1",
        "cpus": 8,
        "pins": {"torch": "2.4"},
        "data": None,
        "scratch": {"path": "/scratch"},
        "network": {probe.HUB: True},
        "claim": {"others": 1, "won": True, "beats": None},
        **facts,
    }


def judged(*each: dict[str, Any], **machine: Any) -> list[Finding]:
    made = checking.findings(each, "t", {"torch": "2.4"}, 0.0, Machine(**machine))
    return [finding for finding in made if finding.level != "ok"]


OTHER = {"host": "n2", "claim": {"others": 1, "won": False, "beats": 2}}


def test_nothing_is_said_where_all_is_well() -> None:
    assert judged(found(), found(**OTHER)) == []
    (claims,) = [
        each
        for each in checking.findings([found(), found(**OTHER)], "t", {}, 0.0, Machine())
        if each.subject == "claims"
    ]
    assert claims.text == "hold between two nodes, and heartbeats are seen"


@pytest.mark.parametrize(
    ("facts", "level", "said"),
    [
        ({"token": "u"}, "problem", "another folder of this name"),
        ({"gpus": []}, "problem", "no GPU, 8 CPU cores; CUDA_VISIBLE_DEVICES='MIG-1'"),
        ({"pins": {"torch": "2.5"}}, "problem", "not as here: torch 2.5 instead of 2.4"),
        ({"clock": -3600.0}, "note", "3600 s behind that of the output folder; claims are not"),
        ({"data": {"path": "/d", "problem": "No such file"}}, "problem", "/d: No such file"),
        ({"scratch": {"path": "/s", "problem": "Read-only"}}, "note", "/s: Read-only"),
        ({"network": {probe.HUB: False}}, "note", "prepare data and weights beforehand"),
        ({"network": {probe.WANDB: False}}, "note", "not reached: track wandb:offline"),
        ({"claim": {"others": 1, "won": False, "beats": 0}}, "problem", "0 of 2 workers hold"),
        ({"claim": {"others": 0, "won": None, "beats": None}}, "note", "not run together"),
    ],
)
def test_what_is_not_well_is_said(facts: dict[str, Any], level: str, said: str) -> None:
    (finding,) = judged(
        found(**facts), found(**OTHER), device="cpu" if "gpus" not in facts else "cuda"
    )
    assert finding.level == level and said in finding.text


def test_two_that_hold_one_claim_and_a_heartbeat_that_nobody_sees() -> None:
    (finding,) = judged(found(), found(host="n2"))
    assert finding.text.startswith("2 of 2 workers hold the same claim between two nodes")
    unseen = {"host": "n1", "claim": {"others": 1, "won": False, "beats": 0}}
    (finding,) = judged(found(), found(**unseen))
    assert finding.text.startswith("a heartbeat was not seen between two workers of one node")


def test_workers_that_do_not_answer_are_missed() -> None:
    made = checking.findings([found()], "t", {"torch": "2.4"}, 0.0, Machine(), "all have ended")
    (finding,) = [each for each in made if each.level == "problem"]
    assert finding.text == "1 of 2 answered: all have ended"


@pytest.mark.parametrize("why", [None, "all have ended (the log ends with: no such module)"])
def test_a_check_of_workers_that_have_ended_ends_too_and_leaves_their_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str | None
) -> None:
    """The engine is asked now and then; where it does not know, patience ends the waiting."""
    paused, told, cancelled = [], [], []
    monkeypatch.setattr(Executor, "submit", lambda *_: "job 7")
    monkeypatch.setattr(Executor, "ended", lambda *_: why)
    monkeypatch.setattr(Executor, "cancel", lambda _, folder: cancelled.append(folder) or "ended")
    lines = checking.check(
        Profile(options={"out": tmp_path}), 100.0, told.append, pause=paused.append
    )
    (finding,) = [line for line in lines if line.level == "problem"]
    (folder,) = (tmp_path / places.WORK).iterdir()
    assert finding.text == f"0 of 2 answered: {why}" if why else str(folder) in finding.text
    assert len(paused) == (20 if why else 100)
    assert cancelled == [folder] and told[-1] == "ended"


def test_of_many_exactly_one_wins(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"ready-{number}").touch()
    results: list[Any] = []

    def run(number: int) -> None:
        results.append(probe.race(tmp_path, 8, 0.0, lambda _: time.sleep(0.001)))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each["won"] for each in results) == [False] * 7 + [True]
    assert {each["others"] for each in results} == {7}


def test_a_heartbeat_is_a_change_of_time(tmp_path: Path) -> None:
    claim, ticks = tmp_path / probe.BEAT, iter(range(100))
    claim.touch()
    assert probe._beats(claim, lambda _: os.utime(claim, (0, next(ticks)))) == 2
    assert probe._beats(claim, lambda _: None) == 0


def test_who_is_alone_does_not_race(tmp_path: Path) -> None:
    (tmp_path / "ready-a").touch()
    found = probe.race(tmp_path, 2, 1.0, lambda _: None)
    assert found == {"others": 0, "won": None, "beats": None}
    assert not (tmp_path / probe.BEAT).exists()


@pytest.mark.long
def test_a_check_starts_workers_and_hears_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With workers that answer at once, in this process."""
    started: list[Any] = []

    def submit(self: Executor, argv: Any, folder: Path, machine: Machine, count: int) -> str:
        started.append((argv, count, json.loads((folder / probe.TASK).read_text())["data"]))
        monkeypatch.setattr(probe, "_services", dict)
        for number in range(count):
            monkeypatch.setattr(os, "getpid", lambda number=number: number)
            probe.probe(folder, patience=0.0)
        return "job 7"

    monkeypatch.setattr(Executor, "submit", submit)
    told: list[str] = []
    profile = Profile(options={"out": tmp_path, "data": str(tmp_path)})
    lines = checking.check(profile, 0.0, told.append)
    argv, count, data = started[0]
    assert argv[:3] == ("promptbench", "machine", "probe") and count == 2 and data == str(tmp_path)
    assert told[0].startswith("job 7 started on local")
    assert not [line for line in lines if line.level == "problem"]
    assert len({line.subject for line in lines}) == len(lines)  # one node is told of once
    assert not list((tmp_path / places.WORK).iterdir())


def test_the_base_class_starts_the_command_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: commands.append(command))
    from promptbench.executors.local import Local

    assert Local().submit(("promptbench", "machine", "ls"), tmp_path, Machine(), 2) == "2 processes"
    ((*_, code, first, second), _) = commands
    assert (first, second) == ("machine", "ls") and "prog_name='promptbench'" in code


def test_a_folder_that_is_none_of_a_check_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the task of a check"):
        probe.probe(tmp_path)
    (tmp_path / probe.TASK).write_text('{"tok')
    with pytest.raises(UserError, match="is not the folder of a check"):
        probe.probe(tmp_path)


def test_profiles_of_the_user_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    empty = CliRunner().invoke(main, ["machine", "ls"])
    assert "no profiles in" in empty.output and empty.exit_code == 0
    profiles.folder().mkdir(parents=True)
    (profiles.folder() / "lab.toml").write_text('precision = "bf16"\njobs = 4\n')
    (profiles.folder() / "old.toml").write_text("prec = 1\n")
    text = CliRunner().invoke(main, ["machine", "ls"]).output
    assert "lab: precision = bf16, jobs = 4" in text
    assert "old: cannot be used: unknown key 'prec'" in text
