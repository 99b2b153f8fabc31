"""A grid, as a gin file binds it, and the requests that it stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from promptbench.core.registry import PROTOCOLS
from promptbench.errors import UserError
from promptbench.planning import given, sweeps
from promptbench.planning.request import Request

_SAID = ("seeds", "suite", "datasets", "shots", "select")


@dataclasses.dataclass(frozen=True)
class Grid:
    """What a grid file binds; empty means the default of `promptbench run`.

    Args:
        methods, protocols: their names; protocols may be "all".
        seeds, presets, suite, datasets, shots, inference, select: as the options of `promptbench
            run`.
        variants: rows that differ in settings, each a tuple of bindings.
        sweeps: settings with several values each, as in --sweep; every variant is varied by all
            combinations of them.
        titles: what the run's own table calls the rows of the variants, in this order; a report of
            their records goes by settings.
    """

    methods: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    presets: tuple[str, ...] = ("paper",)
    variants: tuple[tuple[str, ...], ...] = ((),)
    sweeps: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    suite: str = ""
    datasets: tuple[str, ...] = ()
    shots: int | list[int] | tuple[int, ...] = ()
    inference: str = ""
    select: tuple[str, ...] = ()

    def requests(self, options: Mapping[str, Any]) -> list[Request]:
        """One request per protocol, preset, variant and combination of swept values.

        `options` are further ones of `promptbench.planning.request.Request`, and `sweep`; where one
        is not None it wins over the grid, and bindings in `set` hold for every variant.

        Raises:
            UserError: a grid without methods or protocols, or options that do not hold.
        """
        wanted = {name: given.kept(value) for name, value in options.items() if value is not None}
        own = {name: getattr(self, name) for name in _SAID}
        shared = {name: value for name, value in own.items() if value} | wanted
        if self.inference:
            shared.setdefault("inference", self.inference)
        presets = (shared.pop("preset"),) if "preset" in shared else self.presets
        bindings = tuple(given.bindings("set", shared.pop("set", ())))
        fixed = [binding for variant in self.variants for binding in variant]
        swept = sweeps.axes(self.swept(shared), [*fixed, *bindings])
        shared.pop("sweep", None)
        if swept and self.titles:
            raise UserError(
                "Grid.titles names variants, and a sweep has several rows of each; leave one of "
                "them out"
            )
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
                set=(*variant, *combination, *bindings),
                swept=combination,
                title=title,
                **{**shared, "preset": preset},
            )
            for protocol in self._protocols()
            for preset in presets
            for variant, title in zip(self.variants, titles, strict=True)
            for combination in sweeps.combinations(swept)
        ]

    def swept(self, options: Mapping[str, Any]) -> list[str]:
        """What is swept: as options say, or else the grid."""
        asked = options.get("sweep")
        return given.bindings("sweep", asked) if asked else list(self.sweeps)

    def _protocols(self) -> list[str]:
        if not self.protocols:
            raise UserError(f"no protocol given; known: {', '.join(PROTOCOLS.names())}, or all")
        if "all" in self.protocols:
            return PROTOCOLS.names()
        return list(dict.fromkeys(self.protocols))
