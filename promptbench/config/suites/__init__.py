"""Suites: a backbone, its weights and defaults. Which datasets belong to a suite is in the
protocols' gin files (scope = suite).

A method's settings follow from the backbone and the data, whatever the suite: what a suite's
backbone needs of a method lies in its overlay, and comes along wherever this backbone is used.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from promptbench.errors import unknown

OVERLAY, SEARCHED, SEARCH = ".gin", ".searched.gin", ".search.json"  # of a method's files


class Suite(BaseModel):
    """One suite, as its TOML file says.

    `comparable`: whether its numbers may stand beside published ones, and `banner` what is said of
    them if not (see `standing` for other backbones and data). `sha256`: of the weights' file where
    they are not called by their tag. `weights_preset`: the preset of published weights that a run
    has named, if any. `overlay`: the package whose
    `<method>.gin` files are read after the method's own, for its backbone, and after these what a
    search has chosen of them, `<method>.searched.gin`; None for backbones without one. `threads`:
    torch's CPU threads, where a fixed number beats all cores (tiny tensors).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    backbone: str
    weights: str
    sha256: str = ""
    weights_preset: str | None = None
    shots: int
    seeds: list[int]
    comparable: bool
    banner: str = ""
    overlay: str | None = None
    threads: int | None = None

    def has_weights(self, name: str, sha256: str) -> bool:
        """Whether weights of this name and hash are the suite's own."""
        return name == self.weights or sha256 == self.sha256

    @property
    def overlay_folder(self) -> Path | None:
        """Where the files for the suite's backbone lie, if it has any."""
        if self.overlay is None:
            return None
        package, _, folder = self.overlay.partition(":")
        return Path(str(resources.files(package))) / folder

    def overlay_file(self, method: str, suffix: str = OVERLAY) -> Path | None:
        """A file for a method on the suite's backbone, if there is one.

        Args:
            suffix: `OVERLAY`, settings by hand; `SEARCHED`, those that a search has chosen, which
                hold over them; `SEARCH`, that search.
        """
        folder = self.overlay_folder
        path = None if folder is None else folder / f"{method}{suffix}"
        return path if path is not None and path.is_file() else None


def names() -> list[str]:
    """All suites."""
    return list(_all())


def load(name: str) -> Suite:
    """The suite `name`; an unknown one raises UserError with the nearest."""
    if name not in _all():
        raise unknown("suite", name, names())
    return _all()[name]


def of_backbone(backbone: str) -> Suite | None:
    """The suite whose backbone this is, with what the backbone needs; None of another backbone."""
    return next((suite for suite in map(load, names()) if suite.backbone == backbone), None)


def usual(backbone: str | None, real_data: bool) -> str:
    """The suite of a run that names none: demo until a real backbone or a data root is named."""
    home = of_backbone(backbone) if backbone else None
    if real_data or (backbone and (home is None or home.comparable)):
        return "clip"
    return "demo"


@functools.cache  # they come with the package, and nobody writes others
def _all() -> dict[str, Suite]:
    paths = sorted(Path(str(resources.files(__package__))).glob("*.toml"))
    return {
        path.stem: Suite.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        for path in paths
    }
