"""Grids: methods x protocols x presets x variants as one gin file, and the requests they stand for.

A grid shipped with the package is called by its name, any other by its path:

    Grid.methods = ('coop', 'alignednorm')
    Grid.protocols = ('base_to_new', 'few_shot')
    Grid.seeds = (1, 2, 3)
    Grid.presets = ('paper', 'unified')
    Grid.variants = ((), ('AlignedNorm.w_token = 0.0',))

Every variant is a row of its own: bindings as in --set. One that does not concern a method gives
that method no second row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import gin

from promptbench import config, suites
from promptbench.config import ConfigSources, KnownNames
from promptbench.errors import UserError, unknown
from promptbench.planning.request import Request
from promptbench.registry import PROTOCOLS


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Grid:
    """What a grid file binds; empty means the default of `promptbench run`.

    Args:
        methods, protocols: their names; protocols may be "all".
        seeds, presets, suite, datasets, shots, inference: as the options of `promptbench run`.
        variants: rows that differ in settings, each a tuple of bindings.
        titles: what the run's table calls the rows of the variants, in this order.
    """

    methods: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    presets: tuple[str, ...] = ("paper",)
    variants: tuple[tuple[str, ...], ...] = ((),)
    titles: tuple[str, ...] = ()
    suite: str = ""
    datasets: tuple[str, ...] = ()
    shots: int = 0
    inference: str = ""

    def requests(self, options: Mapping[str, Any]) -> list[Request]:
        """One request per protocol, preset and variant.

        `options` are further options of `promptbench.planning.request.Request`; where one is not
        None it wins over the grid, and bindings in `set` hold for every variant.

        Raises:
            UserError: a grid without methods or protocols, or options that do not hold.
        """
        given = {name: value for name, value in options.items() if value is not None}
        own = {name: getattr(self, name) for name in ("seeds", "suite", "datasets", "shots")}
        shared = {name: value for name, value in own.items() if value} | given
        if self.inference:
            shared.setdefault("inference", self.inference)
        presets = (shared.pop("preset"),) if "preset" in shared else self.presets
        bindings = tuple(shared.pop("set", ()))
        titles = self.titles or ("",) * len(self.variants)
        if len(titles) != len(self.variants):
            raise UserError(
                f"Grid.titles has {len(titles)} entries for {len(self.variants)} variants; give "
                "one per variant, or none"
            )
        return [
            Request(
                methods=self.methods,
                protocol=protocol,
                set=(*variant, *bindings),
                title=title,
                **{**shared, "preset": preset},
            )
            for protocol in self._protocols()
            for preset in presets
            for variant, title in zip(self.variants, titles, strict=True)
        ]

    def _protocols(self) -> list[str]:
        if not self.protocols:
            raise UserError(f"no protocol given; known: {', '.join(PROTOCOLS.names())}, or all")
        if "all" in self.protocols:
            return PROTOCOLS.names()
        return list(dict.fromkeys(self.protocols))


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
    elif not path.is_file():
        raise UserError(f"the grid file {path} does not exist")
    known = KnownNames(
        configurables={"Grid": Grid},
        protocols=frozenset(PROTOCOLS.names()),
        datasets=frozenset(),
        suites=frozenset(suites.names()),
    )
    with config.configured(ConfigSources((path,)), known, ""):
        grid: Grid = Grid()
    return grid


def _folder() -> Path:
    return Path(str(resources.files(__package__)))
