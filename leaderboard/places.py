"""Where accepted records lie: `results/` beside this file, in a checkout; a wheel has none."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def results() -> Path:
    """The folder of accepted records; it need not exist."""
    return Path(str(resources.files("promptbench.leaderboard"))) / "results"
