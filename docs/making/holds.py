"""What holds of every built page: it loads nothing from elsewhere, and its lists are lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_LOADS = {"img", "script", "iframe", "source", "video", "audio", "embed", "object", "input"}
_RELS = {"stylesheet", "preload", "prefetch", "preconnect", "dns-prefetch", "icon", "manifest"}
_ELSEWHERE = re.compile(r"(?:https?:)?//")
_IN_CSS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")
_LOST_LIST = re.compile(r"<p>[^<]*(?:<(?!/p)[^<]*)*?\n(?:[-*]|\d+\.) ")


class _Loads(HTMLParser):
    """Collects what a browser would fetch by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        names = ("src", "srcset", "data", "poster") if tag in _LOADS else ()
        if tag == "link" and _RELS & set(given.get("rel", "").split()):
            names = ("href",)
        self.found += [given[n] for n in names if _ELSEWHERE.match(given.get(n, ""))]
        self.found += _IN_CSS.findall(given.get("style", ""))


def loaded_from_elsewhere(html: str) -> list[str]:
    """Return the addresses outside the site that a page would load; links do not count."""
    page = _Loads()
    page.feed(html)
    styles = re.findall(r"<style.*?</style>", html, re.DOTALL)
    return page.found + [address for style in styles for address in _IN_CSS.findall(style)]


def lost_lists(html: str) -> list[str]:
    """Return the beginnings of paragraphs that were meant as lists (no empty line before)."""
    return [found[0][:80] for found in _LOST_LIST.finditer(html)]


def faults_of(site: Path) -> Iterator[str]:
    """Yield what is wrong with the pages and styles of a built site."""
    for path in sorted(site.rglob("*.html")):
        html, name = path.read_text(encoding="utf-8"), path.relative_to(site)
        for address in loaded_from_elsewhere(html):
            yield f"{name} would load {address}"
        for text in lost_lists(html):
            yield f"{name} has a list that is not one: {text}"
    for path in sorted(site.rglob("*.css")):
        for address in _IN_CSS.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)} would load {address}"
