"""Where accepted records lie, and which were recomputed: beside this file, in a checkout."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def results() -> Path:
    """The folder of accepted records; it need not exist."""
    return Path(str(resources.files("promptbench.leaderboard"))) / "results"


def recomputed() -> Path:
    """The folder that says which accepted records were recomputed; it need not exist."""
    return results().with_name("recomputed")
