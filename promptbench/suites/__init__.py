"""Suites: a backbone, its weights and defaults. Which data sets belong to a suite is in the
protocols' gin files (scope = suite); settings that a suite needs of a method lie in its overlay."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from promptbench.errors import unknown


class Suite(BaseModel):
    """One suite, as its TOML file says.

    `comparable`: whether its numbers may stand beside published ones. `overlay`: the package whose
    `<method>.gin` files are read after the method's own; None for suites without one. `threads`:
    torch's CPU threads, where a fixed number beats all cores (tiny tensors).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    backbone: str
    weights: str
    shots: int
    seeds: list[int]
    comparable: bool
    banner: str = ""
    overlay: str | None = None
    threads: int | None = None

    def overlay_file(self, method: str) -> Path | None:
        """The suite's gin file for a method, if it has one."""
        if self.overlay is None:
            return None
        package, _, folder = self.overlay.partition(":")
        path = Path(str(resources.files(package))) / folder / f"{method}.gin"
        return path if path.is_file() else None


def names() -> list[str]:
    """All suites."""
    return sorted(p.stem for p in _folder().glob("*.toml"))


def load(name: str) -> Suite:
    """The suite `name`; an unknown one raises UserError with the nearest."""
    if name not in names():
        raise unknown("suite", name, names())
    return Suite.model_validate(
        tomllib.loads((_folder() / f"{name}.toml").read_text(encoding="utf-8"))
    )


def _folder() -> Path:
    return Path(str(resources.files(__package__)))
