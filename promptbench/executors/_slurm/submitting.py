"""Handing workers to Slurm through submitit, which writes their batch script and calls sbatch.

What submitit pickles for a worker is the name of `os.execvp` and an argument vector: the process
that it starts becomes `promptbench work`. So neither its own answer to signals nor its count of
time limits plays a part: the worker answers, and the lines after it requeue.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptbench.api import UserError
from promptbench.executors._slurm import commands, script
from promptbench.executors._slurm.commands import Unanswered
from promptbench.executors._slurm.options import NAME, Options, words_of
from promptbench.planning.profiles import Profile
from promptbench.support.safe_text import printable
from promptbench.workers.plan.orders import Order
from promptbench.workers.plan.submissions import Submission

# Lines of a log that only say that a worker has ended, where it has said why.
_ENDED = re.compile(r"srun: .*(Exited with exit code|Terminat|aborted)")
LOGS = "submitit"  # its folder below the plan's: scripts, pickles, logs of the workers


@dataclass(frozen=True)
class Submitting:
    """How the workers of one machine profile are submitted."""

    profile: Profile
    options: Options
    device: str

    def submit(self, order: Order, workers: int) -> Submission:
        """Write a plan and submit its workers; nothing of it is left if Slurm refuses.

        Raises:
            UserError: Slurm refuses, or submitit is missing.
            OutputError: the output folder cannot be written.
        """
        try:
            order.write()
            Submission(NAME).write(order.folder)  # who cancels now must know whom to ask
            jobs = self.start(["work", str(order.folder)], order.folder, workers)
            submission = Submission(NAME, jobs)
            submission.write(order.folder)
        except BaseException:  # a stop or a full disk too: a plan that nobody computes goes
            with contextlib.suppress(Unanswered):
                commands.end(script.job_name(order.id))
            shutil.rmtree(order.folder, ignore_errors=True)
            raise
        return submission

    def start(self, words: Sequence[str], folder: Path, count: int) -> tuple[str, ...]:
        """Submit copies of a command of promptbench, in as few arrays as Slurm allows.

        Args:
            words: the command and its arguments.
            folder: what they are about; their jobs have its name, and logs lie in it.
            count: how many copies.

        Returns:
            The numbers of the arrays.

        Raises:
            UserError: Slurm refuses, and none is left; or submitit is missing.
        """
        submitit = imported()
        try:
            return tuple(self._array(submitit, words, folder, size) for size in sizes(count))
        except BaseException:  # a stop too: no worker is left behind
            with contextlib.suppress(Unanswered):
                commands.end(script.job_name(folder.name))  # arrays before the one refused
            raise

    def _array(self, submitit: Any, words: Sequence[str], folder: Path, size: int) -> str:
        """Submit one array; its number."""
        flags = self.options.flags(script.job_name(folder.name), self.device)
        command = words_of(self.options.python or shlex.quote(sys.executable))
        # Within a container, the interpreter is the last word of what starts one in it.
        argv = [command[-1], *script.PROMPTBENCH, *words]
        executor = submitit.SlurmExecutor(folder / LOGS, python=shlex.join(command))
        executor.update_parameters(
            job_name=flags["job-name"],
            time=None,  # not submitit's own of five minutes; ours stands below, if there is one
            wckey=None,
            array_parallelism=self.options.at_once or size,
            stderr_to_stdout=True,
            setup=script.before(self.profile, shlex.quote(str(folder))),
            teardown=script.after(),
            additional_parameters={
                name: True if value is None else value for name, value in flags.items()
            },
        )
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):  # it prints what it raises as well
                jobs = executor.map_array(os.execvp, [argv[0]] * size, [argv] * size)
        except RuntimeError as error:  # all of submitit's own are
            raise self._refused(commands.said(str(error))) from error
        return str(jobs[0].job_id).partition("_")[0]

    def _refused(self, said: str) -> UserError:
        given = " ".join(self.options.asked(self.device)) or "nothing in particular"
        origin = f" ([{NAME}] of {self.profile.path})" if self.profile.path else ""
        by_default = self.options.gpus is None and "gpus" in given
        hint = '; nodes without GPUs: device = "cpu", or gpus = 0' if by_default else ""
        return UserError(
            f"Slurm refuses the workers: {said}; asked for: {given}{origin}{hint}. "
            "Nothing is submitted"
        )


def imported() -> Any:
    """The package submitit.

    Raises:
        UserError: it is not installed.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            "--on slurm needs the package submitit: pip install 'promptbench-vlm[slurm]' (--print "
            "does without it)"
        ) from error
    return submitit


def sizes(workers: int) -> Sequence[int]:
    """How many workers each array has: as few arrays as Slurm's MaxArraySize allows."""
    most = commands.largest_array()
    return [min(most, workers - first) for first in range(0, workers, most)]


def last_words(folder: Path) -> str:
    """What the newest log of a plan's workers ends with, for a sentence."""
    logs = sorted((folder / LOGS).glob("*_log.out"), key=lambda path: path.stat().st_mtime)
    if not logs:
        return f"none has left a log in {folder / LOGS}: do the nodes see that folder"
    lines = [
        line
        for line in logs[-1].read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    lines = [line for line in lines if not _ENDED.match(line)] or lines
    said = f", which ends with: {printable(lines[-1])}" if lines else ""
    return f"the newest log is {logs[-1]}{said}"
