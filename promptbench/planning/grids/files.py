"""Grids by name, as they come with the package, or from a file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from promptbench import config
from promptbench.config import ConfigSources, KnownNames, suites
from promptbench.core.registry import PROTOCOLS
from promptbench.errors import UserError, unknown
from promptbench.planning.grids.grid import Grid


def names() -> list[str]:
    """The grids that come with the package."""
    return sorted(path.stem for path in _folder().glob("*.gin"))


def load(name: str) -> Grid:
    """A grid by its name, or from a gin file.

    Raises:
        UserError: neither, or a file that does not hold (with file and line).
    """
    path = Path(name)
    if path.suffix != ".gin":
        if name not in names():
            raise unknown("grid", name, names(), "or give the path of a .gin file")
        path = _folder() / f"{name}.gin"
    elif not path.exists():
        raise UserError(f"the grid file {path} does not exist")
    known = KnownNames(
        configurables={"Grid": Grid},
        protocols=frozenset(PROTOCOLS.names()),
        datasets=frozenset(),
        suites=frozenset(suites.names()),
    )
    return Grid(**config.load(ConfigSources((path,)), known).values(Grid, ""))


def _folder() -> Path:
    return Path(str(resources.files(__package__)))
