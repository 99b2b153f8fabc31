"""Where options enter: by name, from a command line or from Python, to requests and a machine.

Plugin files are registered here, since both are checked against the names that there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from promptbench.core import registry
from promptbench.errors import unknown
from promptbench.planning import given, profiles
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request

# Of a request: what the grid and its sweeps say, and what a search asks for.
_OWN = ("methods", "protocol", "title", "swept", "trial", "chosen")
_SWEEP = "sweep"  # becomes several requests
_PROCESSES = ("jobs", "per_gpu", "on")  # what says how many processes compute


def names() -> list[str]:
    """The options that stand beside methods and protocols: of a request, then of a machine."""
    asked = [each.name for each in fields(Request) if each.init and each.name not in _OWN]
    return [*asked, _SWEEP, *(each.name for each in fields(Machine))]


def asked(grid: Grid, options: Mapping[str, Any]) -> tuple[list[Request], Machine]:
    """The requests that a grid and options come to, and the machine to compute them on.

    Raises:
        UserError: an option that there is not (with the nearest), or that does not hold.
    """
    for name in options:
        if name not in (known := names()):
            raise unknown("option", name, known, "of promptbench.run")
    if options.get("plugin") is not None:  # first: a machine may name its trackers and executor
        files = given.paths("plugin", options["plugin"])
        registry.add_files(files)
        options = {**options, "plugin": files}
    if options.get("machine") is not None:
        profile = profiles.load(given.path("machine", options["machine"]))
        said = {name: value for name, value in options.items() if value not in (None, ())}
        options = {**profile.options, **said, "machine": profile.path}
    if any(options.get(name) is not None for name in _PROCESSES):
        options = {**options, "fill_cores": None}  # somebody has said how many there are
    mine = {each.name for each in fields(Machine)}
    machine = Machine(**{name: value for name, value in options.items() if name in mine})
    others = {name: value for name, value in options.items() if name not in mine}
    return grid.requests(others), machine
