"""What an engine was given for a plan: `jobs.json` in the plan's folder.

Whoever cancels or looks on learns from it which engine to ask, and users its numbers of the jobs.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from promptbench.errors import UserError, first_problem
from promptbench.storage.files import write_whole
from promptbench.storage.reading import parse_json, read_bytes

JOBS = "jobs.json"
_MOST = 2**20  # bytes


@dataclass(frozen=True)
class Submission:
    """Jobs of one plan.

    Args:
        engine: the executor that they were submitted by.
        jobs: the engine's names of them.
        submitted: when, in UTC.
    """

    engine: str
    jobs: tuple[str, ...] = ()
    submitted: str = ""

    def write(self, folder: Path) -> None:
        """Write it into a plan's folder.

        Raises:
            OutputError: it cannot be written.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        found = asdict(self) | {"submitted": self.submitted or now}
        write_whole(folder / JOBS, f"{json.dumps(found)}\n".encode())


class _File(BaseModel):
    engine: str
    jobs: tuple[str, ...] = ()
    submitted: str = ""


def read(folder: Path) -> Submission | None:
    """What an engine was given for the plan in a folder; None for a plan that no engine has.

    Raises:
        UserError: the file says something else.
    """
    path = folder / JOBS
    if not path.is_file():
        return None
    try:
        found = _File.model_validate(parse_json(read_bytes(path, _MOST, "the jobs of a plan")))
    except ValidationError as error:
        raise UserError(
            f"{path} does not say what was submitted: {first_problem(error, 'the file')}"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} does not say what was submitted: {error}") from error
    return Submission(**found.model_dump())
