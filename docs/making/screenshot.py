"""The README's picture of the leaderboard: `make screenshot` builds the site and looks at it.

Needs Chromium (`make browser`); writes docs/site.png.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from click.testing import CliRunner
from PIL import Image
from playwright.sync_api import sync_playwright

from docs.making.links import ROOT
from promptbench.cli import main

PICTURE = ROOT / "docs" / "site.png"
_COLOURS = 128  # a page of text and lines needs no more


def take(picture: Path = PICTURE, page: str = "index.html") -> None:
    """Build the leaderboard of the accepted results and write what a page of it looks like."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("no chromium here; `make browser` installs one")
    with tempfile.TemporaryDirectory() as folder:
        site, raw = Path(folder) / "site", Path(folder) / "raw.png"
        built = CliRunner().invoke(main, ["leaderboard", "build", "--out", str(site)])
        if built.exit_code:
            sys.exit(built.output)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            view = browser.new_page(viewport={"width": 1280, "height": 800})
            view.goto(f"file://{site / page}")
            view.wait_for_load_state("networkidle")
            view.screenshot(path=str(raw))
            browser.close()
        with Image.open(raw) as image:
            image.convert("RGB").quantize(_COLOURS).save(picture, optimize=True)


if __name__ == "__main__":
    take()
