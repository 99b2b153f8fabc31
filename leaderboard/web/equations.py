"""The equations of methods, typeset: LaTeX in `equations.json`, with the MathML made from it.

They say what the modules of the methods say in words and plain text. MathML is made once, by
`python -m promptbench.leaderboard.web.equations` (with latex2mathml, of the extra `dev`), so that
building a site needs no typesetter and its pages no script.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from pathlib import Path
from typing import Any

_FILE = "equations.json"


def of(method: str) -> list[dict[str, str]]:
    """The equations of a method: `about`, `tex` and `mathml` of each; none for one that is not
    promptbench's own."""
    return _all().get(method, [])


@functools.cache
def _all() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = json.loads(_path().read_text(encoding="utf-8"))
    return found


def _path() -> Path:
    return Path(str(resources.files("promptbench.leaderboard.web"))) / _FILE


def typeset(found: dict[str, list[dict[str, str]]]) -> dict[str, list[dict[str, str]]]:
    """The same equations with their MathML made again from their LaTeX."""
    from latex2mathml.converter import convert

    def made(tex: str) -> str:
        text: Any = convert(tex, display="block")
        return str(text)

    return {
        method: [{**own, "mathml": made(own["tex"])} for own in equations]
        for method, equations in sorted(found.items())
    }


if __name__ == "__main__":
    text = json.dumps(typeset(_all()), indent=1, ensure_ascii=False)
    _path().write_text(text + "\n", encoding="utf-8")
