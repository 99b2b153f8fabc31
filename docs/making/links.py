"""Links that work in the repository and on the site.

Pages link as files of the repository do, also out of docs/. On the site, the texts of the top level
are pages as well (OUTSIDE), and every other file that a page links to is shown as a page of its
own, below `source/`. Places of the site are paths of Markdown, from docs/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).resolve().parents[2]
# Texts that have to lie elsewhere, with their place on the site.
OUTSIDE = {
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "leaderboard/results/README.md": "accepted-results.md",
    "README.md": "index.md",
}
_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!`)(\]\()([^)\s]+)(\))")
_LANGUAGES = {".py": "python", ".toml": "toml", ".gin": "python", ".json": "json"}


def place_of(path: str) -> str:
    """Return where a file of the repository stands on the site."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    inside = PurePosixPath(path)
    if inside.is_relative_to("docs"):
        return str(inside.relative_to("docs"))
    return f"source/{path}.md"


def sources_in(text: str, path: str) -> Iterator[str]:
    """Yield the files, other than pages, that a page of the repository links to."""
    for _, target, _ in _LINK.findall(_FENCE.sub("", text)):
        linked = _linked(target, path)
        if linked and place_of(linked).startswith("source/") and (ROOT / linked).is_file():
            yield linked


def for_the_site(text: str, path: str) -> str:
    """Return a page's text with its links as they have to be on the site.

    Args:
        text: Markdown.
        path: where it lies in the repository, `docs/data.md`.
    """

    def turned(found: re.Match[str]) -> str:
        opening, target, closing = found.groups()
        linked = _linked(target, path)
        if linked is None or not (ROOT / linked).is_file():
            return found[0]  # of the net, an anchor, or broken: which the build finds
        _, hash_, anchor = target.partition("#")
        here = relpath(place_of(linked), PurePosixPath(place_of(path)).parent)
        return f"{opening}{here}{hash_}{anchor}{closing}"

    return _outside_fences(text, lambda part: _LINK.sub(turned, part))


def shown(path: str) -> str:
    """Return the page that shows a file's text."""
    text = (ROOT / path).read_text(encoding="utf-8")
    language = _LANGUAGES.get(PurePosixPath(path).suffix, "text")
    return f"# `{path}`\n\n````{language}\n{text.rstrip()}\n````\n"


def _linked(target: str, path: str) -> str | None:
    """Return the file of the repository that a link names; None for an anchor or an address."""
    name = target.partition("#")[0]
    if not name or re.match(r"[a-z]+:", name):
        return None
    return normpath(str(PurePosixPath(path).parent / name))


def _outside_fences(text: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])
