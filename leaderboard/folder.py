"""A folder of pages that works from a file system, without a network: assets, templates, and its
replacement as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from promptbench.errors import UserError
from promptbench.leaderboard import plots, replacing

MARK = ".promptbench-site"  # says that a folder may be replaced


@contextmanager
def fresh(out: Path) -> Iterator[Path]:
    """Yield an empty site with its assets, which replaces `out` when the block ends without error.

    Raises:
        UserError: a folder that cannot be written, or that holds something else.
    """
    if out.resolve().parent.is_dir():
        replacing.recover(out)
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise UserError(f"{out} is not a site of promptbench; name a new or empty folder")
    try:
        with replacing.replaced(out) as made:
            (made / MARK).touch()
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(_here("assets"), made / "assets", ignore=ignored)
            (made / "assets" / "palette.css").write_text(plots.palette(), encoding="utf-8")
            yield made
    except OSError as error:
        raise UserError(f"cannot write the site to {out}: {error.strerror or error}") from error


def _here(name: str) -> Path:
    return Path(str(resources.files("promptbench.leaderboard"))) / name


class Templates:
    """Renders templates into pages of a site; `shared` is what all of them receive."""

    def __init__(self, out: Path, shared: Mapping[str, Any]) -> None:
        self._out, self._shared = out, shared
        self._environment = Environment(
            loader=FileSystemLoader(_here("templates")),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
        )

    def write(self, path: str, template: str, **context: Any) -> None:
        """Write the page `path`, relative to the site's folder."""
        root = "../" if "/" in path else ""
        self.write_text(path, self.text(template, **{**context, "root": root}))

    def text(self, template: str, **context: Any) -> str:
        """What a template makes of its context."""
        return self._environment.get_template(template).render({**self._shared, **context})

    def write_text(self, path: str, text: str) -> None:
        """Write a file that no template makes, relative to the site's folder."""
        file = self._out / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
