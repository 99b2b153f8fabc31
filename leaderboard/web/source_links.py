"""The sources of printed numbers as links: papers on arXiv, files of repositories.

A source is a text such as `CoCoOp arXiv:2203.05557 as quoted in PromptKD README table: GitHub
zhengli97/PromptKD@ec244f7 images/exp_results.png`; what it names is linked, nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

_PLACE = re.compile(
    r"arXiv[:\s]\s*(?P<paper>\d{4}\.\d{4,5})"
    r"|GitHub (?P<repository>[\w.-]+/[\w.-]+?)@(?P<commit>[0-9a-f]{7,40})"
    r"(?: (?P<path>[\w./-]+\.\w+)(?![\w/]))?"
)


def links(source: str) -> list[tuple[str, str]]:
    """Return label and address of each paper and repository that a source names, in its order."""
    return list(dict.fromkeys(_links(source)))


def _links(source: str) -> Iterator[tuple[str, str]]:
    for found in _PLACE.finditer(source):
        if found["paper"]:
            yield f"arXiv {found['paper']}", f"https://arxiv.org/abs/{found['paper']}"
            continue
        path = found["path"]
        kind, rest = ("blob", f"/{quote(path)}") if path else ("tree", "")
        address = f"https://github.com/{found['repository']}/{kind}/{found['commit']}{rest}"
        yield f"GitHub {found['repository']}", address
