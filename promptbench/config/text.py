"""Values in force as the text of a gin file, which records keep and `--gin` reads again."""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from typing import Any

from promptbench.config.parsing import is_literal

_WIDTH, _INDENT = 80, 4


def operative_text(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """The values of classes, by class and parameter, as gin writes its operative configuration.

    Hashes in records hold for this layout, byte by byte. A value that is not plain data (a default
    in a plugin's constructor may be anything) has no text and is left out.
    """
    lines = []
    for cls, values in sorted(settings.items(), key=lambda item: item[0].lower()):
        lines += [f"# Parameters for {cls}:", "# " + "=" * (_WIDTH - 2)]
        literal = {name: value for name, value in values.items() if is_literal(value)}
        lines += [_line(f"{cls}.{name}", literal[name]) for name in sorted(literal)] or ["# None."]
        lines.append("")
    return "\n".join(lines)


def _line(name: str, value: Any) -> str:
    """A binding on a line of its own, or its value indented below it where it is long."""
    written = pprint.pformat(value, width=_WIDTH - _INDENT)
    if "\n" not in written and len(name + written) <= _WIDTH:
        return f"{name} = {written}"
    return f"{name} = \\\n" + "\n".join(" " * _INDENT + line for line in written.split("\n"))
