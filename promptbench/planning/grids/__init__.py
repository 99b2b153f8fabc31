"""Grids: methods x protocols x presets x variants as one gin file, and the requests they stand for.

A grid shipped with the package is called by its name, any other by its path:

    Grid.methods = ('coop', 'alignednorm')
    Grid.protocols = ('base_to_new', 'few_shot')
    Grid.seeds = (1, 2, 3)
    Grid.presets = ('paper', 'unified')
    Grid.variants = ((), ('AlignedNorm.w_token = 0.0',))
    Grid.sweeps = ('AlignedNorm.w_proj = 0, 0.01, 0.1',)

Every variant is a row of its own: bindings as in --set. One that does not concern a method gives
that method no second row.
"""

from promptbench.planning.grids.files import load, names
from promptbench.planning.grids.grid import Grid

__all__ = ["Grid", "load", "names"]
