"""Workers on a real Slurm, which is started on this machine: whatever happens to them, the records
are those of an undisturbed run. Over 5 s each where workers are processes that import torch."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from promptbench.errors import OutputError, RunError, UserError
from promptbench.executors._slurm import commands, options, script, submitting
from promptbench.executors._slurm.submitting import Submitting
from promptbench.executors.slurm import Slurm, _workers_at
from promptbench.planning import edge, profiles
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request
from promptbench.running.session import execute, plans_of, script_of
from promptbench.tracking import Listener
from promptbench.workers.plan import orders, submissions
from promptbench.workers.plan.orders import Order
from promptbench.workers.plan.submissions import Submission
from tests.cluster import disks, slurms
from tests.cluster.comparing import events, left, restarts, twice
from tests.cluster.slurms import Cluster, ask, wait_until
from tests.faults import driver

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.xdist_group("slurm"),  # one cluster for all of them
    pytest.mark.skipif(slurms.missing() is not None, reason=slurms.missing() or ""),
]
LONGER: dict[str, Any] = {
    "set": [*driver.TINY["set"], "Recipe.epochs=10"],
    "checkpoint_minutes": 5,  # after every epoch
    "device": "cpu",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with slurms.started() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("undisturbed")
    driver.run(out, **LONGER)
    return left(out)


@pytest.fixture(autouse=True)
def nobody_left(cluster: Cluster) -> Iterator[None]:
    yield
    ask("scancel", "--user=root")
    wait_until(lambda: not ask("squeue", "-h") and not cluster.workers())


def profile_of(folder: Path, *lines: str, top: str = "") -> Path:
    path = folder / "lab.toml"
    path.write_text("\n".join([top, "[slurm]", *lines, ""]))
    return path


def asked(out: Path, **changes: Any) -> tuple[list[Request], Machine]:
    options = {**driver.TINY, **LONGER, "out": out, **changes}
    grid = Grid((options.pop("methods"),), (options.pop("protocols"),))
    return edge.asked(grid, options)


def order_of(out: Path, **changes: Any) -> Order:
    requests, machine = asked(out, **changes)
    plans, compute = plans_of(requests, machine)
    return orders.make(plans, machine, compute.precision)


def submitting_of(profile: Path) -> Submitting:
    found = profiles.load(profile)
    return Submitting(found, options.options_of(found), "cpu")


def python_that(folder: Path, *lines: str) -> str:
    """A line of a profile that names something else in the place of Python."""
    path = folder / "python"
    path.write_text("\n".join(["#!/bin/bash", *lines, ""]))
    path.chmod(0o755)
    return f'python = "{path}"'


def test_workers_compute_what_one_machine_computes(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    said: list[str] = []

    class Hears(Listener):
        def message(self, text: str) -> None:
            said.append(text)

    out = tmp_path / "runs"
    requests, machine = asked(out, on="slurm", jobs=2)
    execute(requests, machine, Hears())
    assert left(out) == undisturbed
    assert not twice(out) and restarts(out) == 0
    (plan,) = orders.all_of(out)
    found = submissions.read(plan.parent)
    assert found is not None and found.engine == "slurm" and len(found.jobs) == 1
    assert any(
        text.startswith(f"submitted 2 workers (Slurm's job {found.jobs[0]})") for text in said
    )
    assert {"plan.json", "jobs.json", "submitit"} <= {p.name for p in plan.parent.iterdir()}
    for path in (plan.parent / submitting.LOGS).glob("*_submitted.pkl"):
        submitted = pickle.loads(path.read_bytes())  # our own, of a moment ago
        assert submitted.function is os.execvp
        assert submitted.args[1][-2:] == ["work", str(plan.parent)]


def test_the_printed_script_needs_neither_python_nor_a_plan_file(
    tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    profile = profile_of(tmp_path, f'python = "{sys.executable}"')
    requests, machine = asked(tmp_path / "runs", on="slurm", jobs=2, machine=profile)
    plans, compute = plans_of(requests, machine)
    text = script_of(plans, machine, compute)
    (tmp_path / "job.sh").write_text(text)
    assert not list((tmp_path / "runs").rglob("plan.json"))
    job = subprocess.run(
        ["sbatch", "--parsable", "job.sh"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.strip()
    wait_until(lambda: not ask("squeue", "-h"), 90)
    assert left(tmp_path / "runs") == undisturbed, [p.read_text() for p in tmp_path.glob("*.log")]
    (plan,) = orders.all_of(tmp_path / "runs")
    found = submissions.read(plan.parent)
    assert found is not None and found.jobs == (job,)
    assert not list(plan.parent.glob(".draft*"))


def test_whatever_happens_to_workers_the_records_are_the_same(
    cluster: Cluster, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    """Two submitters at once; a worker is killed, a node taken and lost, a submitter killed."""
    stream = random.Random(0)
    first, second = (driver.start(tmp_path, on="slurm", jobs=2, **LONGER) for _ in range(2))
    try:
        wait_until(lambda: any(event == "started" for _, event in events(tmp_path)))
        wait_until(partial(cluster.kill_a_worker, stream))
        for disturb in (cluster.preempt, cluster.lose_a_node):
            # A fast machine may be through before there is a worker to disturb.
            wait_until(lambda disturb=disturb: disturb(stream) or not second.is_alive())
            time.sleep(0.5)
        first.kill()
        second.join(120)
        assert second.exitcode == 0
    finally:
        first.kill()
        second.kill()
    assert left(tmp_path) == undisturbed
    assert not twice(tmp_path)


def test_a_worker_that_leaves_cells_waits_in_the_queue_again(tmp_path: Path) -> None:
    """Not one that failed, and not when the plan is cancelled."""
    log = tmp_path / "log"
    code = f'echo "$SLURM_ARRAY_TASK_ID ${{SLURM_RESTART_COUNT:-0}}" >> {log}'
    first = '[ -n "$SLURM_RESTART_COUNT" ] || [ "$SLURM_ARRAY_TASK_ID" = 1 ] || exit 75'
    python = python_that(tmp_path, code, first, "exit 2")
    by = submitting_of(profile_of(tmp_path, python))
    by.submit(order_of(tmp_path / "runs"), 2)
    wait_until(lambda: not ask("squeue", "-h"), 60)
    assert sorted(log.read_text().split("\n")) == ["", "0 0", "0 1", "1 0"]
    order = order_of(tmp_path / "others")
    python_that(tmp_path, f"touch {order.folder}/cancelled", code, "exit 75")
    by.submit(order, 1)
    wait_until(lambda: not ask("squeue", "-h"), 60)
    assert len(log.read_text().split("\n")) == 5


def test_the_same_run_typed_again_looks_on_and_adds_what_is_asked_for(tmp_path: Path) -> None:
    profile = profile_of(tmp_path, python_that(tmp_path, "exec sleep 600"))
    first = order_of(tmp_path / "runs")
    submitting_of(profile).submit(first, 3)  # of which two run
    again = order_of(tmp_path / "runs")
    assert _workers_at(again) == {first.folder: 3}
    assert _workers_at(order_of(tmp_path / "runs", seeds=2)) == {}
    said = Slurm().cancel(first.folder)
    assert said == f"Slurm ends 3 workers of {first.id}"
    wait_until(lambda: not ask("squeue", "-h"))
    assert Slurm().cancel(first.folder) == f"Slurm has no workers of {first.id} any more"
    assert _workers_at(again) == {}


def test_who_looks_on_hears_that_no_worker_is_left(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("promptbench.executors.slurm._PAUSE", 1.0)
    profile = profile_of(tmp_path, python_that(tmp_path, "echo no such module", "exit 1"))
    with pytest.raises(RunError, match=r"(?s)left and no worker: Slurm has none.*log.out, which"):
        driver.run(tmp_path / "runs", on="slurm", machine=profile, device="cpu")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('partition = "lwo"', "unknown partition 'lwo'; did you mean 'low'.*slurm.partition of"),
        ('partition = "low,hihg"', "unknown partition 'hihg'; did you mean 'high'"),
        ('constraint = "fast"', r"Invalid feature specification; asked for: --constraint=fast \("),
        ('memory = "900G"', "node configuration is not available; asked for: --mem=900G"),
        ('gpus = "h100:1"', "refuses the workers: .*; asked for: --gpus-per-node=h100:1"),
        ('more = ["--nonsense=3"]', "unrecognized option '--nonsense=3'; asked for: --nonsense=3"),
    ],
)
def test_what_slurm_does_not_have_is_refused_and_nothing_submitted(
    tmp_path: Path, line: str, said: str
) -> None:
    out = tmp_path / "runs"
    with pytest.raises(UserError, match=said):
        driver.run(out, on="slurm", machine=profile_of(tmp_path, line), device="cpu")
    assert not ask("squeue", "-h") and not list(out.glob(".work/*"))


def test_many_workers_are_several_arrays_and_one_refused_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "largest_array", lambda: 2)
    by = submitting_of(profile_of(tmp_path, python_that(tmp_path, "exec sleep 600")))
    found = by.submit(order_of(tmp_path / "runs"), 5)
    assert len(set(found.jobs)) == 3
    limits = ask("squeue", "-h", "-r", "-o", "%l").split()
    assert limits == ["UNLIMITED"] * 5  # the cluster's default, not submitit's five minutes
    Slurm().cancel(orders.all_of(tmp_path / "runs")[0].parent)
    wait_until(lambda: not ask("squeue", "-h"))
    monkeypatch.setattr(commands, "largest_array", lambda: 1002)  # one more than Slurm takes
    monkeypatch.setattr(submitting, "sizes", lambda _: [1, 1002])
    with pytest.raises(UserError, match="Invalid job array specification"):
        by.submit(order_of(tmp_path / "more"), 1003)
    wait_until(lambda: not ask("squeue", "-h"))
    assert not orders.all_of(tmp_path / "more")


def test_a_worker_sees_all_its_gpus_and_the_profile_reaches_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    names = ("CUDA_VISIBLE_DEVICES", "SLURM_NTASKS", "FROM_SETUP", "PROMPTBENCH_CACHE")
    shown = " ".join(f"${name}" for name in names)
    profile = profile_of(
        tmp_path,
        "gpus = 2",
        'more = ["--comment=a b"]',
        python_that(tmp_path, f'echo "{shown} $PROMPTBENCH_CACHE" >> {log}'),
        top='setup = ["export FROM_SETUP=yes"]\nscratch = "/scratch/$SLURM_JOB_ID"',
    )
    submitting_of(profile).submit(order_of(tmp_path / "runs"), 1)
    wait_until(lambda: not ask("squeue", "-h"))
    seen = log.read_text().split()
    assert seen[:3] == ["0,1", "1", "yes"]
    assert seen[3].startswith("/scratch/") and seen[3].endswith("/promptbench")


def test_any_command_can_be_started_on_nodes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    python = python_that(tmp_path, f'echo "$@" >> {log}')
    _, machine = asked(tmp_path / "runs", machine=profile_of(tmp_path, python))
    said = Slurm().submit(("promptbench", "ls", "methods"), tmp_path, machine, 2)
    assert said.startswith("Slurm's job ")
    wait_until(lambda: not ask("squeue", "-h"))
    assert log.read_text().count("submitit.core._submit") == 2  # which becomes the command
    pickles = list((tmp_path / submitting.LOGS).glob("*.pkl"))
    argv = [pickle.loads(path.read_bytes()).args[1] for path in pickles]
    assert [words[1:] for words in argv] == [["-P", "-m", "promptbench.cli", "ls", "methods"]] * 2


def test_a_cancelled_worker_does_not_wait_again_although_it_leaves_cells(
    cluster: Cluster, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    waits = ("trap 'exit 75' TERM", f"echo x >> {log}", "while :; do sleep 0.2; done")
    profile = profile_of(tmp_path, python_that(tmp_path, *waits))
    submitting_of(profile).submit(order_of(tmp_path / "runs"), 1)
    wait_until(log.exists)
    ask("scancel", *cluster.running())
    wait_until(lambda: not ask("squeue", "-h"))
    assert log.read_text() == "x\n"


def test_slurms_largest_array_and_its_queue_are_read(tmp_path: Path) -> None:
    assert commands.largest_array() == 1001
    name = script.job_name("x")
    assert commands.queued([name]) == []
    held = [
        "sbatch",
        "--hold",
        f"--job-name={name}",
        "--array=0-1",
        "-o",
        "/dev/null",
        "--wrap",
        "true",
    ]
    ask(*held)
    found = commands.queued([name, "promptbench-y"])
    assert found is not None and [w.job_name for w in found] == [name, name]
    assert commands.held_back(found) == {"JobHeldUser": 2}


def test_a_full_disk_ends_workers_with_a_sentence_and_the_same_command_goes_on(
    tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptbench.executors.slurm._PAUSE", 1.0)
    out = tmp_path / "runs"
    with disks.small(out, kib=64) as filler:
        with pytest.raises(RunError, match=r"ends with: error: cannot write .*: No space left on"):
            driver.run(out, on="slurm", jobs=2, **LONGER)
        assert not [p for p in out.rglob(".*-????????") if p.is_file()]  # nothing half-written
        filler.unlink()
        driver.run(out, on="slurm", jobs=2, **LONGER)
        assert left(out) == undisturbed
        assert not list(out.glob("**/*.damaged-*"))


def test_a_disk_without_room_for_the_plan_is_submitted_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor if it is full only when the numbers of the jobs are to be noted."""
    by = submitting_of(profile_of(tmp_path, python_that(tmp_path, "exec sleep 600")))
    whole = Submission.write

    def write(self: Submission, folder: Path) -> None:
        if self.jobs:
            raise OutputError("cannot write jobs.json: No space left on device")
        whole(self, folder)

    monkeypatch.setattr(Submission, "write", write)
    ended: list[str] = []
    monkeypatch.setattr(commands, "end", ended.append)
    order = order_of(tmp_path / "runs")
    with pytest.raises(OutputError):
        by.submit(order, 2)
    assert ended == [script.job_name(order.id)]
    assert not list((tmp_path / "runs").glob(".work/*"))
