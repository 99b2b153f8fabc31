"""The table [slurm] of a machine profile, and the options of sbatch that it comes to.

[slurm]
partition = "gpu"
time = "4:00:00"                       # as Slurm reads it: "4:00" are four minutes
gpus = 1                               # of each worker, which is one task on one node
memory = "32G"
cpus = 8
account = "lab"                        # also: qos, constraint
at_once = 4                            # workers that run at the same time, at most
python = "/shared/env/bin/python"      # of the nodes
more = ["--exclude=node7"]             # any other options of sbatch
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import PydanticCustomError

from promptbench.api import UserError
from promptbench.errors import unknown
from promptbench.planning.machine import Machine
from promptbench.planning.profiles import Profile

NAME = "slurm"
Flags = Mapping[str, str | None]  # None: an option that takes nothing
_LEAD = 120  # seconds ahead of the time limit at which workers hear of it
_DAYS = re.compile(r"(?P<d>\d+)-(?P<h>\d+)(:(?P<m>\d+)(:(?P<s>\d+))?)?")
_HOURS = re.compile(r"((?P<h>\d+):(?=\d+:))?(?P<m>\d+)(:(?P<s>\d+))?")
_ENDLESS = ("unlimited", "infinite")
_MEMORY = re.compile(r"\d+[KMGT]", re.IGNORECASE)
_GPUS = re.compile(r"[\w.-]+:[1-9]\d*")
_OPTION = re.compile(r"--(?P<name>[a-z][a-z-]*)(=(?P<value>.+))?")
_OURS = frozenset(
    (
        *("array", "job-name", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output"),
        *("error", "requeue", "no-requeue", "signal", "wrap"),
    )
)


def _wrong(problem: str) -> PydanticCustomError:
    return PydanticCustomError("slurm", "{problem}", {"problem": problem})


def _word(text: str) -> str:
    if not text.isprintable() or not text.strip() or set(text) & set("'\"\\"):
        raise _wrong("it must be text without quotes")
    return text


def _duration(text: str) -> str:
    if minutes_of(text) is None:
        raise _wrong(
            f"{text!r} is not a time that Slurm reads; write hours:minutes:seconds (4:00:00), or "
            "days-hours (1-12)"
        )
    return text


def _memory(text: str) -> str:
    if not _MEMORY.fullmatch(text):
        raise _wrong(f"{text!r} is not an amount with its unit, such as 32G or 500M")
    return text


def _several_gpus(value: int | str) -> int | str:
    if isinstance(value, str) and not _GPUS.fullmatch(value):
        raise _wrong(f"{value!r} is neither a number nor a type with one, such as a100:1")
    return value


def _more(lines: list[str]) -> list[str]:
    for line in map(_word, lines):
        found = _OPTION.fullmatch(line)
        if found is None:
            raise _wrong(f"{line!r} is not an option of sbatch as --name=value or --name")
        if found["name"] in _OURS:
            raise _wrong(f"--{found['name']} is promptbench's own")
        if (key := _KEYS.get(found["name"])) is not None:
            raise _wrong(f"--{found['name']} has a key of its own: {key}")
    return lines


_Word = Annotated[str, AfterValidator(_word)]
_Count = Annotated[int, Field(ge=1)]


class Options(BaseModel, extra="forbid", strict=True, frozen=True):
    """The table; what it leaves out is the cluster's default, GPUs apart."""

    partition: _Word | None = None
    time: Annotated[_Word, AfterValidator(_duration)] | None = None
    gpus: Annotated[_Word | Annotated[int, Field(ge=0)], AfterValidator(_several_gpus)] | None = (
        None  # one, unless the device is the CPU
    )
    memory: Annotated[_Word, AfterValidator(_memory)] | None = None
    cpus: _Count | None = None
    account: _Word | None = None
    qos: _Word | None = None
    constraint: _Word | None = None
    at_once: _Count | None = None
    python: _Word | None = None
    more: Annotated[list[str], AfterValidator(_more)] = []

    def flags(self, name: str, device: str) -> Flags:
        """The options of sbatch for workers, by their long names.

        Args:
            name: the job's.
            device: what the workers compute on, as `--device` has it.
        """
        gpus = (0 if device == "cpu" else 1) if self.gpus is None else self.gpus
        found: dict[str, str | None] = {"job-name": name}
        for option, key in _KEYS.items():
            if (value := gpus if key == "gpus" else getattr(self, key)) not in (None, 0):
                found[option] = str(value)
        found |= {"nodes": "1", "ntasks-per-node": "1"}
        # Preempted jobs, and those of a node that died, wait in the queue again.
        found |= {"requeue": None, "open-mode": "append", "signal": f"USR1@{self.lead}"}
        for line in self.more:
            option, _, given = line.removeprefix("--").partition("=")
            found[option] = given or None
        return found

    def asked(self, device: str) -> list[str]:
        """The options of sbatch that are the user's, as they would be typed."""
        flags = self.flags("", device).items()
        return [
            f"--{name}" + ("" if value is None else f"={value}")
            for name, value in flags
            if name not in _OURS
        ]

    @property
    def lead(self) -> int:
        """Seconds ahead of the time limit at which workers are told to save and stop."""
        minutes = None if self.time is None else minutes_of(self.time)
        return min(_LEAD, minutes * 30) if minutes else _LEAD


_KEYS = {
    "partition": "partition",
    "time": "time",
    "gpus-per-node": "gpus",
    "mem": "memory",
    "cpus-per-task": "cpus",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
}
_MUST = {
    "time": 'it must be text, such as "4:00:00"',
    "memory": 'it must be text with its unit, such as "32G"',
    "gpus": 'it must be a whole number, or text such as "a100:1"',
    "more": 'it must be a list of options of sbatch, such as ["--exclude=node7"]',
}


def options_of(profile: Profile) -> Options:
    """The table of a profile, or all defaults.

    Raises:
        UserError: a key that there is not, or a value that does not hold, with file and key.
    """
    table = profile.table(NAME)
    for key in table:
        if key not in Options.model_fields:
            raise unknown("key", key, Options.model_fields, f"of [{NAME}] in {profile.path}")
    try:
        return Options.model_validate(dict(table))
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        own = first["type"] == NAME
        said = first["msg"] if own else _MUST.get(key, f"it {first['msg'].partition(' ')[2]}")
        raise profile.refused(f"{NAME}.{key}", said) from error


def minutes_of(time: str) -> int | None:
    """A time limit in whole minutes, rounded up as Slurm does, 0 for none; None if it is not one.

    Source: the manual of sbatch, --time.
    """
    if time.lower() in _ENDLESS:
        return 0
    found = _DAYS.fullmatch(time) or _HOURS.fullmatch(time)
    if found is None:
        return None
    parts: dict[str, Any] = found.groupdict()
    days, hours, minutes, seconds = (int(parts.get(key) or 0) for key in "dhms")
    return (days * 24 + hours) * 60 + minutes + math.ceil(seconds / 60)


def said_of(minutes: int) -> str:
    """A time limit in words."""
    hours, rest = divmod(minutes, 60)
    both = ((hours, "h"), (rest, "min"))
    return " ".join(f"{number} {unit}" for number, unit in both if number)


def refuse_numbered(machine: Machine) -> None:
    """Refuse a GPU by its number: which ones a worker sees is Slurm's choice.

    Raises:
        UserError: the machine names one.
    """
    if ":" in machine.device:
        raise UserError(
            f"--device {machine.device}: Slurm chooses the GPUs of its workers; use --device cuda"
        )


def words_of(python: str) -> list[str]:
    """A command for Python as words, such as one within a container.

    Raises:
        UserError: none is there.
    """
    return shlex.split(python)
