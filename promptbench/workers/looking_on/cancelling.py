"""Cancelling: a mark beside the plan file, which workers see, and the engine's own way."""

from __future__ import annotations

import datetime
import getpass
import platform
from collections.abc import Iterator
from pathlib import Path

from promptbench.errors import RunError, UserError, one_line
from promptbench.storage.files import write_whole
from promptbench.storage.reading import parse_json, read_bytes
from promptbench.support.prose import counted
from promptbench.workers.looking_on.standing import FAILED, RECORD
from promptbench.workers.plan import places, roster

_MOST = 2**20  # bytes of a list of jobs


class Cancelled(RunError):
    """Somebody has cancelled the plan that a run waits for."""


def mark(folder: Path) -> None:
    """Ask the workers of a plan to stop.

    Raises:
        OutputError: the folder cannot be written.
    """
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    write_whole(folder / places.CANCELLED, f"{now} by {_user()}@{platform.node()}\n".encode())


def is_cancelled(folder: Path) -> bool:
    """Whether the workers of a plan are to stop."""
    return (folder / places.CANCELLED).exists()


def refuse_cancelled(folder: Path, left: int) -> None:
    """Refuse to go on with a plan that was cancelled, with so many cells left.

    Raises:
        Cancelled: it was.
    """
    if is_cancelled(folder):
        raise Cancelled(
            f"the plan {folder.name} was cancelled with {counted(left, 'cell')} left; the same "
            "command goes on from here"
        )


def cancel(out: Path, name: str | None = None) -> Iterator[str]:
    """Cancel plans of an output folder; a sentence about each as it is done.

    Args:
        name: the id of a plan; None: all that have cells left.

    Raises:
        UserError: no such plan, or the folder cannot be written; `exit_code` 2.
    """
    folders = places.folders(out)
    if not folders:
        raise UserError(f"no plan files in {out / places.WORK}: there is nothing to cancel")
    if name is not None:
        chosen = [folder for folder in folders if folder.name == name]
        if not chosen:
            known = ", ".join(folder.name for folder in folders)
            raise UserError(f"--plan {name}: no such plan in {out}; there are {known}")
        folders = chosen
    for folder in folders:
        yield f"plan {folder.name}: {'; '.join(_cancelled(out, folder, asked=name is not None))}"


def _cancelled(out: Path, folder: Path, asked: bool) -> Iterator[str]:
    if not asked and _is_over(out, folder):
        yield "no cell is left, so nothing is cancelled"
        return
    if is_cancelled(folder):
        yield "it was cancelled before"
    else:
        mark(folder)
        yield "cancelled; workers see it within ten seconds, save and end"
    yield _by_engine(folder)


def _is_over(out: Path, folder: Path) -> bool:
    """Whether every cell has its record or its log; not of a plan whose cells cannot be read."""
    try:
        entries = roster.read(folder)
    except UserError:
        return False
    return all(
        (out / entry.folder / RECORD).is_file() or (out / entry.folder / FAILED).is_file()
        for entry in entries
    )


def _by_engine(folder: Path) -> str:
    """What the engine that was asked for workers has done about them."""
    path = folder / places.JOBS
    if not path.is_file():
        return "no engine has noted jobs"
    from promptbench.core.registry import EXECUTORS

    try:
        engine = str(parse_json(read_bytes(path, _MOST, "the jobs"))["engine"])
        return str(EXECUTORS.load(engine).cls().cancel(folder))
    except (UserError, ValueError, KeyError, TypeError) as error:
        return f"its jobs could not be ended from here ({one_line(error)})"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, in a container
        return "somebody"
