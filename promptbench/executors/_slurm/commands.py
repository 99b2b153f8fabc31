"""What is asked of Slurm's own commands: what there is, what waits or runs, and to end it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from promptbench.api import UserError
from promptbench.errors import unknown
from promptbench.support.safe_text import printable

_LIMIT = 30.0  # seconds that a command may take; a busy controller takes some
_USUAL_SIZE = 1001  # of arrays, where the configuration does not say
_NOISE = re.compile(r"^\w+: ((error|fatal): )?(Batch job submission failed: )?")


class Unanswered(Exception):
    """A command of Slurm's failed; as text, what it said."""


@dataclass(frozen=True)
class Queued:
    """A worker in the queue, running or waiting for a reason."""

    job_name: str
    state: str
    reason: str


def ask(*words: str) -> str:
    """What a command prints.

    Raises:
        Unanswered: it is not there, fails, or takes too long.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_LIMIT)
    except FileNotFoundError as error:
        raise Unanswered(f"there is no {words[0]} on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise Unanswered(f"{words[0]} took more than {_LIMIT:.0f} s") from error
    if done.returncode:
        raise Unanswered(said(done.stderr) or f"{words[0]} ended with {done.returncode}")
    return done.stdout


def said(errors: str) -> str:
    """The last error that a command printed, without its name."""
    lines = [printable(line) for line in errors.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Try ")]  # its own help
    return _NOISE.sub("", lines[-1]) if lines else ""


def require() -> None:
    """Refuse a machine that cannot submit.

    Raises:
        UserError: Slurm's commands are not here.
    """
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UserError(
            "--on slurm: there is no sbatch on this machine; run it where jobs are submitted, or "
            "add --print and submit the script there"
        )


def check_partitions(named: str | None, where: str) -> None:
    """Refuse a partition that the cluster does not have; several stand with commas.

    Raises:
        UserError: there is no such partition, or Slurm does not answer.
    """
    try:
        known = ask("sinfo", "--noheader", "--format=%R").split()
    except Unanswered as error:
        raise UserError(f"--on slurm: Slurm does not answer here ({error})") from error
    for name in [] if named is None else named.split(","):
        if name not in known:
            raise unknown("partition", name, known, where)


def largest_array() -> int:
    """How many tasks an array may have: one index fewer than MaxArraySize is the largest."""
    try:
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.M)
    except Unanswered:
        found = None
    return max(1, int(found[1]) if found else _USUAL_SIZE)


def queued(names: Iterable[str]) -> list[Queued] | None:
    """Workers of the jobs of these names that run or wait; None where Slurm does not say.

    Asked by name and not by number: a number that Slurm has forgotten is an error to it.
    """
    listed = ",".join(names)
    words = ("squeue", "--noheader", "--array", f"--name={listed}", "--format=%j|%t|%r")
    try:
        lines = ask(*words).splitlines() if listed else []
    except Unanswered:
        return None
    return [Queued(*(line.split("|", 2))) for line in lines if line.count("|") >= 2]


def held_back(workers: Iterable[Queued]) -> Counter[str]:
    """Reasons why workers wait that waiting alone may not end, and how many have them."""
    return Counter(w.reason for w in workers if w.state == "PD" and w.reason not in _USUAL)


_USUAL = ("None", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Cleaning", "Prolog")


def end(name: str) -> None:
    """End the workers of a name, those that wait and those that run.

    Raises:
        Unanswered: Slurm did not take it.
    """
    ask("scancel", f"--name={name}")
