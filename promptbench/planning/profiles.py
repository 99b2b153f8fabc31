"""Machine profiles: what does not change from run to run on one cluster, in one TOML file.

    on = "slurm"                      # options of `promptbench run`, which win over these
    jobs = 16
    precision = "bf16"
    data = "/data/clip"
    setup = ["module load cuda", "source ~/promptbench/bin/activate"]
    scratch = "/scratch/$USER"

    [slurm]                           # what one executor takes
    partition = "gpu"
    time = "4:00:00"

`--machine` takes the path of one, or its name in the user's folder of machines.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from promptbench.core.registry import EXECUTORS
from promptbench.errors import UserError, near_miss, unknown
from promptbench.planning.machine import Machine
from promptbench.storage.reading import parse_toml, read_text

_MOST = 2**20  # bytes
_LINES, _SCRATCH = "setup", "scratch"
_NOT_HERE = ("machine", "plugin", "quiet", "retry_failed")  # they belong to one run
_OF_REQUESTS = ("data",)  # where the data lie on these machines


@dataclass(frozen=True)
class Profile:
    """A machine profile.

    Args:
        options: defaults of `promptbench run`'s options, by their names in Python.
        setup: lines of a shell before each worker, such as `module load`.
        scratch: a folder of each node for caches; a shell replaces $VARIABLES in it.
        tables: what single executors take, by their names.
    """

    path: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    scratch: str | None = None
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def table(self, executor: str) -> Mapping[str, Any]:
        """What an executor takes; empty where the profile says nothing of it."""
        return self.tables.get(executor, {})

    def refused(self, key: str, problem: str) -> UserError:
        """The error for a key, dotted within a table."""
        return UserError(f"{self.path}: {key}: {problem}")


def folder() -> Path:
    """The user's folder of machines."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Path(base) / "promptbench" / "machines"


def find(named: Path) -> Path:
    """The file of a profile, given by its path or its name in the user's folder.

    Raises:
        UserError: there is none.
    """
    path = named.expanduser()
    if path.is_file():
        return path.absolute()
    known = {each.stem: each for each in sorted(folder().glob("*.toml"))}
    if str(named) in known:
        return known[str(named)]
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UserError(f"--machine {named}: there is no such file")
    raise UserError(
        f"--machine {named}: no file, and no machine of that name in {folder()}; "
        f"{near_miss(str(named), known)}"
    )


def load(named: Path) -> Profile:
    """Read a profile.

    Raises:
        UserError: there is none, or what it says is not what a profile can say; with the key.
    """
    path = find(named)
    try:
        found = parse_toml(read_text(path, _MOST, "the machine profile"))
    except ValueError as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    options = {key: value for key, value in found.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in found.items() if isinstance(value, dict)}
    profile = Profile(
        path=path,
        setup=_lines(path, options.pop(_LINES, [])),
        scratch=_text(path, options.pop(_SCRATCH, None)),
        options=options,
        tables=tables,
    )
    _check_names(profile)
    return profile


def of(machine: Machine) -> Profile:
    """The profile that a machine's options name; an empty one without."""
    return Profile() if machine.machine is None else load(machine.machine)


def _check_names(profile: Profile) -> None:
    known = [each.name for each in fields(Machine) if each.name not in _NOT_HERE]
    for key in profile.options:
        if key not in (*known, *_OF_REQUESTS):
            keys = [*known, *_OF_REQUESTS, _LINES, _SCRATCH]
            raise unknown("key", key, keys, f"of a machine profile: {profile.path}")
    for key in profile.tables:
        if key not in EXECUTORS.names():
            raise unknown("executor", key, EXECUTORS.names(), f"a table of {profile.path}")


def _lines(path: Path, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise UserError(f"{path}: {_LINES}: it must be a list of lines for a shell")
    return tuple(value)


def _text(path: Path, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UserError(f"{path}: {_SCRATCH}: it must be a folder, as text")
    return value
