"""Pages in headless Chromium, and everything that went wrong on them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NEEDED = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


class Tab:
    """A page, and everything that went wrong on it."""

    def __init__(self, browser: Any, folder: Path, **options: Any) -> None:
        self.page = browser.new_context(**options).new_page()
        self.folder = folder
        self.wrong: list[str] = []
        self.page.on("console", lambda m: self.wrong.append(f"console: {m.type}: {m.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._seen)

    def _seen(self, request: Any) -> None:
        if not request.url.startswith((self.folder.as_uri(), "data:", "blob:")):
            self.wrong.append(f"request: {request.url}")

    def open(self, path: str) -> Any:
        self.page.goto("about:blank")
        self.page.goto(f"{self.folder.as_uri()}/{path}")
        return self.page


@contextmanager
def opened(browser: Any, folder: Path, **options: Any) -> Iterator[Tab]:
    """A tab on the pages of a folder, on which nothing may go wrong."""
    tab = Tab(browser, folder, **options)
    yield tab
    tab.page.context.close()
    assert tab.wrong == []
