"""Where a process runs, in words: its host, and its job as the engine calls it."""

from __future__ import annotations

from promptbench.support.whereabouts import job, named


def test_jobs_are_called_as_their_engines_call_them() -> None:
    assert job({}) is None
    assert job({"SLURM_JOB_ID": "7"}) == "Slurm job 7"
    array = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "2"}
    assert job(array) == "Slurm job 5_2"
    assert job({"RAY_JOB_ID": "01000000"}) == "Ray job 01000000"
    assert job({"RAY_JOB_ID": "ffffffff"}) is None
    assert named("n1", job(array)) == "n1, Slurm job 5_2" and named("n1", None) == "n1"
