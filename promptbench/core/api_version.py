"""The version of the plugin API, and modules that were written for another.

What the version promises stands in `promptbench.api`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from promptbench.errors import UserError

API_VERSION = 1

# What changed with each version, for authors who have to follow.
CHANGES: Mapping[int, str] = {
    1: "the first: Method(towers, classes), prepare, logits, losses; Protocol.legs, columns",
}


def check_version(what: str, module: ModuleType) -> None:
    """Refuse a module written for another API version; one that states none is taken as it is.

    Raises:
        UserError: another version, with what has changed since.
    """
    stated: Any = getattr(module, "PROMPTBENCH_API", API_VERSION)
    if stated == API_VERSION:
        return
    if isinstance(stated, int) and stated < API_VERSION:
        changed = "; ".join(f"{v}: {CHANGES[v]}" for v in range(stated + 1, API_VERSION + 1))
        raise UserError(
            f"{what} was written for version {stated} of the plugin API, this is version "
            f"{API_VERSION}. Changed since: {changed}. Adapt it and set "
            f"PROMPTBENCH_API = {API_VERSION}"
        )
    raise UserError(
        f"{what} was written for version {stated!r} of the plugin API, this promptbench has "
        f"version {API_VERSION} ({CHANGES[API_VERSION]}); upgrade promptbench"
    )
