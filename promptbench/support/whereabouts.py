"""Where this process runs: its host, and its job where a batch system has given it one."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping


def host() -> str:
    """The node's name, as the batch system has it if there is one."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()


def job(environment: Mapping[str, str] = os.environ) -> str | None:
    """The batch job that a process belongs to, as its engine calls it; None outside of one."""
    array, task = (environment.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    if array and task:
        return f"Slurm job {array}_{task}"
    if slurm := environment.get("SLURM_JOB_ID"):
        return f"Slurm job {slurm}"
    ray = environment.get("RAY_JOB_ID", "").strip("f")  # all f: it has no number there
    return f"Ray job {environment['RAY_JOB_ID']}" if ray else None


def name() -> str:
    """Both in one."""
    return named(host(), job())


def named(host: str, job: str | None) -> str:
    """A host with a job, if there is one."""
    return f"{host}, {job}" if job else host
