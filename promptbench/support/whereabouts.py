"""Where this process runs: its host, and its job where a batch system has given it one."""

from __future__ import annotations

import os
import platform


def host() -> str:
    """The node's name, as the batch system has it if there is one."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


def job() -> str | None:
    """The batch job of this process, with its number in an array; None outside of one."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    if array and task:
        return f"{array}_{task}"
    return os.environ.get("SLURM_JOB_ID") or os.environ.get("RAY_JOB_ID") or None


def name() -> str:
    """Both in one."""
    return named(host(), job())


def named(host: str, job: str | None) -> str:
    """A host with a job, if there is one."""
    return f"{host}, job {job}" if job else host
