"""Text for GitHub Markdown."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")
_START = re.compile(r"^([+-])(?=\s)|^(\d+)([.)])(?=\s)")


def escaped(value: str) -> str:
    """Return text that Markdown shows as it is: HTML and every mark inside it disarmed."""
    return _START.sub(r"\\\g<0>", _SPECIAL.sub(_entity, value))


def _entity(match: re.Match[str]) -> str:
    character = match[1]
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(character, "\\" + character)
