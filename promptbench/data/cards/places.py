"""Where things lie on disk: the cache, a user's own data and cards, the data root."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """promptbench's cache: PROMPTBENCH_CACHE, else the user's cache folder."""
    explicit = os.environ.get("PROMPTBENCH_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(explicit).expanduser() if explicit else Path(base) / "promptbench"


def user_home() -> Path:
    """Where a user's own cards and shards lie if nothing else is said."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "promptbench"


def data_root(given: Path | None) -> Path:
    """The folder of prepared datasets: the one given, PROMPTBENCH_DATA, or the user's own."""
    if given is not None:
        return given
    root = os.environ.get("PROMPTBENCH_DATA")
    return Path(root).expanduser() if root else user_home() / "data"


def card_folders() -> list[Path]:
    """Where a user's own cards are looked for; `promptbench data new` writes to the first.

    PROMPTBENCH_CARDS (one or several folders), `cards` under PROMPTBENCH_DATA, and the user's own.
    """
    listed = os.environ.get("PROMPTBENCH_CARDS", "").split(os.pathsep)
    found = [Path(folder).expanduser() for folder in listed if folder]
    root = os.environ.get("PROMPTBENCH_DATA")
    if root:
        found.append(Path(root).expanduser() / "cards")
    return list(dict.fromkeys([*found, user_home() / "cards"]))
