"""Search spaces: which parameters of a method may be tuned, over which values.

A space is a TOML file beside the method's gin file, `coop.space.toml` beside `coop.gin`:

    [space]
    "CoOp.class_token_position" = { choice = ["end", "middle", "front"] }
    "Recipe.lr" = { log-uniform = [2e-4, 2e-2] }
    "MMRL.alpha" = { uniform = [0.1, 1.0] }

Bounds are included. A parameter of whole numbers takes whole numbers from its bounds. A method that
has nothing to tune says so, with the reason:

    untuned = "nothing is learned"

`space` reads and checks, `distributions` turns points of the unit cube into values, `trials` draws
the points.
"""

from promptbench.spaces.distributions import Choice, Distribution, LogUniform, Uniform
from promptbench.spaces.space import SUFFIX, Space, load, path_of
from promptbench.spaces.trials import drawn

__all__ = [
    "SUFFIX",
    "Choice",
    "Distribution",
    "LogUniform",
    "Space",
    "Uniform",
    "drawn",
    "load",
    "path_of",
]
