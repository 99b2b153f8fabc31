"""promptbench: one benchmark suite for prompt-learning methods of vision-language models.

`promptbench.run(...)` is the whole interface for the main job; the command line makes the same
requests of its options and executes them likewise. Everything heavy is imported when it is used, so
that `import promptbench` stays instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptbench.records import Record

__version__ = "0.1.0"
__all__ = ["__version__", "run"]

_CHECKOUT = Path(__file__).resolve().parent.parent
if (_CHECKOUT / "pyproject.toml").is_file():
    # In a checkout the plugin folders (methods/, protocols/, data_cards/, leaderboard/) lie beside
    # this package; the wheel has them inside. Extending __path__ gives both the same import names.
    __path__.append(str(_CHECKOUT))


def run(method: str | Sequence[str], protocol: str | Sequence[str], **options: Any) -> list[Record]:
    """Run methods under protocols and return one record per cell.

    Args:
        method, protocol: names, in a list or comma-separated.
        options: those of `promptbench run`, by the names that
            `promptbench.planning.request.Request` explains: suite, data, backbone, weights,
            datasets, shots, seeds, preset, inference, gin, set, plugin, device, precision, compile,
            class_chunk, workers, augment, limit, out, wandb, track, baseline, quiet, jobs,
            retry_failed, checkpoint_minutes. Where several may be given (datasets, shots, seeds,
            gin, set, plugin, track), one is taken as one.

    Raises:
        promptbench.errors.UserError: what the caller can fix, in one sentence.
    """
    import dataclasses

    from promptbench.errors import unknown
    from promptbench.grids import Grid
    from promptbench.planning import given
    from promptbench.planning.request import Request
    from promptbench.running.runner import execute

    own = ("methods", "protocol", "title")  # a title is for the rows of a table, none is made here
    known = [f.name for f in dataclasses.fields(Request) if f.init and f.name not in own]
    for name in options:
        if name not in known:
            raise unknown("option", name, known, "of promptbench.run")
    methods, protocols = given.names("method", method), given.names("protocol", protocol)
    return execute(Grid(tuple(methods), tuple(protocols)).requests(options))
