"""Slurm without a cluster: its table of a profile, its batch script, and what is refused early."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.executors import slurm
from promptbench.executors._slurm import commands, options, script, submitting
from promptbench.executors._slurm.commands import Queued, Unanswered
from promptbench.planning import edge, profiles
from promptbench.planning.grids import Grid
from promptbench.planning.profiles import Profile
from promptbench.running.session import execute, plans_of, script_of
from promptbench.tracking import Listener
from promptbench.workers.plan import submissions
from promptbench.workers.plan.submissions import Submission


def profile_of(folder: Path, *lines: str, top: str = "") -> Profile:
    path = folder / "lab.toml"
    path.write_text("\n".join([top, "[slurm]", *lines, ""]))
    return profiles.load(path)


def asked(out: Path, **changes: Any) -> Any:
    given = {"datasets": "counts", "limit": 20, "seeds": 1, "device": "cpu", "on": "slurm"}
    return edge.asked(Grid(("coop",), ("base_to_new",)), {**given, "out": out, **changes})


# --- the table of a profile ---------------------------------------------------------------------


def test_a_table_becomes_options_of_sbatch(tmp_path: Path) -> None:
    found = options.options_of(
        profile_of(
            tmp_path,
            'partition = "gpu,big"',
            'time = "4:00:00"',
            'memory = "32G"',
            "cpus = 8",
            'account = "lab"',
            'qos = "normal"',
            'constraint = "a100&nvlink"',
            'more = ["--exclude=n[1-3]", "--exclusive"]',
        )
    )
    assert dict(found.flags("promptbench-1", "cuda")) == {
        "job-name": "promptbench-1",
        "partition": "gpu,big",
        "time": "4:00:00",
        "gpus-per-node": "1",
        "mem": "32G",
        "cpus-per-task": "8",
        "account": "lab",
        "qos": "normal",
        "constraint": "a100&nvlink",
        "nodes": "1",
        "ntasks-per-node": "1",
        "requeue": None,
        "open-mode": "append",
        "signal": "USR1@120",
        "exclude": "n[1-3]",
        "exclusive": None,
    }


@pytest.mark.parametrize(
    ("gpus", "device", "asked_for"),
    [
        (None, "auto", "1"),
        (None, "cuda", "1"),
        (None, "cpu", None),
        (0, "auto", None),
        (4, "cuda", "4"),
        ("a100:2", "auto", "a100:2"),
    ],
)
def test_a_worker_gets_one_gpu_unless_something_else_is_said(
    gpus: Any, device: str, asked_for: str | None
) -> None:
    assert options.Options(gpus=gpus).flags("x", device).get("gpus-per-node") == asked_for


@pytest.mark.parametrize(
    ("time", "minutes", "lead"),
    [
        ("90", 90, 120),
        ("0", 0, 120),
        ("1", 1, 30),
        ("4:00", 4, 120),
        ("0:30", 1, 30),
        ("4:00:00", 240, 120),
        ("0:02:00", 2, 60),
        ("1-12", 2160, 120),
        ("1-12:30", 2190, 120),
        ("2-00:00:01", 2881, 120),
        ("UNLIMITED", 0, 120),
        ("infinite", 0, 120),
    ],
)
def test_times_are_read_as_slurm_reads_them(time: str, minutes: int | None, lead: int) -> None:
    """As the manual of sbatch has it; workers hear of a short limit half-way."""
    assert options.minutes_of(time) == minutes
    assert options.Options(time=time).lead == lead


def test_a_time_limit_is_said_in_words() -> None:
    assert [options.said_of(minutes) for minutes in (4, 60, 2190)] == [
        "4 min",
        "1 h",
        "36 h 30 min",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('partion = "gpu"', r"unknown key 'partion'; did you mean 'partition'.*of \[slurm\] in"),
        ('time = "4h"', r"lab\.toml: slurm\.time: '4h' is not a time that Slurm reads"),
        ('time = ""', r"slurm\.time: it must be text without quotes"),
        ("time = 04:00:00", r'slurm\.time: it must be text, such as "4:00:00"'),
        ("time = 240", r'slurm\.time: it must be text, such as "4:00:00"'),
        ("memory = 32", r'slurm\.memory: it must be text with its unit, such as "32G"'),
        ('memory = "32"', r"slurm\.memory: '32' is not an amount with its unit"),
        ('gpus = "many"', r"slurm\.gpus: 'many' is neither a number nor a type with one"),
        ("gpus = 1.5", r"slurm\.gpus: it must be a whole number"),
        ("gpus = -1", r"slurm\.gpus: it must be a whole number"),
        ("gpus = true", r"slurm\.gpus: it must be a whole number"),
        ("cpus = 0", r"slurm\.cpus: it should be greater than or equal to 1"),
        ("at_once = 0", r"slurm\.at_once: it should be greater"),
        ("account = 7", r"slurm\.account: it should be a valid string"),
        ('qos = "a\\nb"', r"slurm\.qos: it must be text without quotes"),
        ('more = "--exclusive"', r"slurm\.more: it must be a list of options of sbatch"),
        ('more = ["-C a100"]', r"slurm\.more: '-C a100' is not an option of sbatch as --name"),
        ('more = ["--array=0-3"]', r"slurm\.more: --array is promptbench's own"),
        ('more = ["--mem=5G"]', r"slurm\.more: --mem has a key of its own: memory"),
    ],
)
def test_what_a_table_cannot_say_is_refused_with_its_key(
    tmp_path: Path, line: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        options.options_of(profile_of(tmp_path, line))


# --- the script ---------------------------------------------------------------------------------


def printed(folder: Path, monkeypatch: Any, *lines: str, **changes: Any) -> str:
    monkeypatch.setattr("secrets.token_hex", lambda _: "abc123")
    profile = profile_of(
        folder, *lines, top='setup = ["module load cuda"]\nscratch = "~/scratch/$USER"'
    )
    requests, machine = asked(folder / "runs", machine=profile.path, **changes)
    plans, compute = plans_of(requests, machine)
    return re.sub(r"\d{8}-\d{6}", "20260101-120000", script_of(plans, machine, compute))


def test_the_printed_script_is_the_same_each_time_and_reads_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ('partition = "gpu"', "at_once = 1", 'python = "apptainer exec pb.sif python"')
    text = printed(tmp_path, monkeypatch, *given, jobs=2)
    assert printed(tmp_path, monkeypatch, *given, jobs=2) == text
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    head, rest = text.split("# The first worker writes the plan.")
    assert head.splitlines()[2:] == [
        "#SBATCH --job-name=promptbench-20260101-120000-abc123",
        "#SBATCH --partition=gpu",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --signal=USR1@120",
        "#SBATCH --array=0-1%1",
        "#SBATCH --output=promptbench-20260101-120000-abc123-%A_%a.log",
        "",
        "# The output folder; every node must see it under this path.",
        f"out={tmp_path}/runs",
        'plan="$out/.work/20260101-120000-abc123"',
        "module load cuda",
        'export PROMPTBENCH_CACHE="$HOME/scratch/$USER/promptbench"',
        '[ -z "$SLURM_CPUS_PER_TASK" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK',
        "",
    ]
    assert (
        "\nsrun --unbuffered apptainer exec pb.sif python -P -m promptbench.cli work "
        '"$plan" --out "$out"\ncode=$?\n'
    ) in rest


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (2, False), (75, True), (137, False)])
@pytest.mark.parametrize("cancelled", [False, True])
def test_the_script_writes_the_plan_and_requeues_only_what_left_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, requeued: bool, cancelled: bool
) -> None:
    """In a shell with an srun and a scontrol that do nothing."""
    text = printed(tmp_path, monkeypatch, jobs=1)
    plan = tmp_path / "runs" / ".work" / "20260101-120000-abc123"
    if cancelled:
        plan.mkdir(parents=True)
        (plan / "cancelled").touch()
    stand_ins = f'module() {{ :; }}\nsrun() {{ return {code}; }}\nscontrol() {{ echo "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-u", "-c", f"{stand_ins}{text}"],
        env={"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1"}
        | {"PATH": "/usr/bin:/bin", "HOME": "/root", "USER": "me"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout == ("requeue 8\n" if requeued and not cancelled else "")
    assert submissions.read(plan).jobs == ("7",)  # type: ignore[union-attr]
    inside = text.split("<<'END_OF_PLAN'\n")[1].split("END_OF_PLAN\n")[0]
    assert (plan / "plan.json").read_text() == inside


def test_a_script_may_name_a_folder_that_only_the_nodes_have(tmp_path: Path) -> None:
    words = ["run", "--method", "coop", "--protocol", "base_to_new", "--datasets", "counts"]
    words += ["--on", "slurm", "--device", "cpu", "--out", str(tmp_path / "there" / "runs")]
    done = CliRunner().invoke(main, [*words, "--print"])
    assert done.exit_code == 0 and f"\nout={tmp_path}/there/runs\n" in done.stdout
    assert not (tmp_path / "there").exists()
    done = CliRunner().invoke(main, [*words, "--print", "--retry-failed"])
    assert done.exit_code == 2 and "--print contradicts --retry-failed" in done.output


# --- before anything is submitted ---------------------------------------------------------------


def test_a_machine_without_slurm_is_told_of_the_printed_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"there is no sbatch on this machine; .* add --print and"):
        execute(*asked(tmp_path / "runs"))


def test_a_missing_submitit_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "require", lambda: None)
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'promptbench-vlm\[slurm\]'"):
        execute(*asked(tmp_path / "runs"))
    assert not list((tmp_path / "runs").glob(".work/*"))


def test_the_precision_must_be_said_and_a_gpu_has_no_number(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="add --precision bf16, fp16 or fp32"):
        execute(*asked(tmp_path, device="auto"))
    requests, machine = asked(tmp_path, device="cuda:1", precision="bf16")
    plans, compute = plans_of(requests, machine)
    with pytest.raises(UserError, match="Slurm chooses the GPUs of its workers; use --device cuda"):
        script_of(plans, machine, compute)


@pytest.mark.parametrize(
    ("errors", "found"),
    [
        ("sbatch: error: Batch job submission failed: Invalid qos\n", "Invalid qos"),
        ("sbatch: unrecognized option '--x'\nTry \"sbatch --help\"\n", "unrecognized option '--x'"),
        ("", ""),
    ],
)
def test_slurms_errors_are_said_without_its_names(errors: str, found: str) -> None:
    assert commands.said(errors) == found


# --- who looks on -------------------------------------------------------------------------------

NO_ORDER: Any = None


def test_a_queue_that_does_not_answer_says_nothing_of_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = [None, [Queued("a", "R", "None")], [], [], None]
    monkeypatch.setattr(slurm, "_workers_at", lambda _: {})
    monkeypatch.setattr(commands, "queued", lambda _: answers.pop(0))
    monkeypatch.setattr(slurm, "_PAUSE", 0.0)
    queue = slurm._Queue(NO_ORDER, {"a": tmp_path}, Listener())
    assert [queue.alive() for _ in range(2)] == [None, None]
    gone = "Slurm has none of them any more"
    assert (queue.alive() or "").startswith(gone)
    assert (queue.alive() or "").startswith(gone)  # as it was answered last


def test_workers_that_somebody_else_has_submitted_since_count_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = script.job_name("theirs")

    def queued(names: Any) -> list[Queued]:
        return [Queued(theirs, "R", "None")] if theirs in names else []

    monkeypatch.setattr(commands, "queued", queued)
    monkeypatch.setattr(slurm, "_workers_at", lambda _: {tmp_path / "theirs": 1})
    queue = slurm._Queue(NO_ORDER, {"mine": tmp_path / "mine"}, Listener())
    assert queue.alive() is None and theirs in queue.plans


def test_the_queue_of_a_whole_cluster_is_not_asked_at_every_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[Any] = []
    monkeypatch.setattr(commands, "queued", lambda names: asked_for.append(names) or None)
    queue = slurm._Queue(NO_ORDER, {"a": tmp_path}, Listener())
    for _ in range(5):
        queue.alive()
    assert len(asked_for) == 1


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            "error: the disk is full\nsrun: error: n1: task 0: Exited with exit code 2\n\n",
            "error: the d",
        ),
        (
            "a module was loaded\nslurmstepd: error: execve(): no such file\n",
            "slurmstepd: error: e",
        ),
        ("srun: Force Terminated StepId=4.0\n", "srun: Force"),
    ],
)
def test_the_last_words_of_a_worker_are_its_own(tmp_path: Path, log: str, said: str) -> None:
    path = tmp_path / submitting.LOGS / "1_0_log.out"
    path.parent.mkdir()
    path.write_text(log)
    assert submitting.last_words(tmp_path).startswith(
        f"the newest log is {path}, which ends with: {said}"
    )


def test_a_reason_that_waiting_does_not_end_is_told_once() -> None:
    told: list[str] = []

    class Hears(Listener):
        def message(self, text: str) -> None:
            told.append(text)

    queue = slurm._Queue(NO_ORDER, {}, Hears())
    held, usual = Queued("a", "PD", "PartitionTimeLimit"), Queued("a", "PD", "Resources")
    for _ in range(2):
        queue._tell([held, held, usual])
    for _ in range(2):
        queue._tell([held, usual, Queued("a", "R", "None")])
    queue._tell([])
    assert told == [
        "3 workers in Slurm's queue",
        "Slurm lets 2 workers wait: PartitionTimeLimit",
        "workers run; each takes a while to begin, and may prepare data first",
    ]


def test_a_squeue_that_fails_or_is_not_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: str) -> str:
        raise Unanswered("gone")

    monkeypatch.setattr(commands, "ask", fails)
    assert commands.queued(["a"]) is None
    assert commands.queued([]) == []
    assert commands.largest_array() == 1001


def test_cancelling_where_slurm_does_not_answer_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no scancel on this machine; type `scancel --name=promptb"):
        slurm.Slurm().cancel(tmp_path / "an-id")


@pytest.mark.parametrize(
    ("jobs", "there", "cells", "again", "wanted"),
    [
        (2, 0, 9, False, 2),
        (16, 0, 4, False, 4),
        (2, 2, 9, False, 0),
        (5, 2, 9, False, 3),
        (1, 3, 9, False, 0),
        (2, 2, 9, True, 2),
    ],
)
def test_jobs_are_the_workers_in_all(
    jobs: int, there: int, cells: int, again: bool, wanted: int
) -> None:
    from types import SimpleNamespace

    work: Any = SimpleNamespace(
        machine=SimpleNamespace(jobs=jobs, retry_failed=again),
        cells=[None] * cells,
        listener=Listener(),
    )
    assert slurm._wanted(work, there) == wanted


@pytest.mark.parametrize(
    ("lines", "device", "hint"),
    [((), "auto", True), ((), "cpu", False), (("gpus = 1",), "auto", False)],
)
def test_nodes_without_gpus_are_told_how_to_say_so(
    tmp_path: Path, lines: tuple[str, ...], device: str, hint: bool
) -> None:
    profile = profile_of(tmp_path, *lines)
    options_of = options.Options.model_validate(profile.tables["slurm"])
    said = str(submitting.Submitting(profile, options_of, device)._refused("Invalid gres"))
    assert ("nodes without GPUs" in said) == hint and said.endswith("Nothing is submitted")


def test_more_workers_than_an_array_holds_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "largest_array", lambda: 4)
    assert submitting.sizes(10) == [4, 4, 2] and submitting.sizes(4) == [4]


# --- what was submitted -------------------------------------------------------------------------


def test_a_submission_reads_as_it_was_written(tmp_path: Path) -> None:
    assert submissions.read(tmp_path) is None
    Submission("slurm", ("7", "8")).write(tmp_path)
    found = submissions.read(tmp_path)
    assert found is not None and found.jobs == ("7", "8") and found.submitted.endswith("+00:00")
    (tmp_path / submissions.JOBS).write_text('{"jobs": []}')
    with pytest.raises(UserError, match=r"jobs\.json does not say what was submitted: engine: Fi"):
        submissions.read(tmp_path)
    assert script.job_name("x") == "promptbench-x"
