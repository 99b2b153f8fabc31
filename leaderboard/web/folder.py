"""A folder of pages that works from a file system, without a network: assets, templates, and its
replacement as a whole."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from promptbench.errors import UserError
from promptbench.leaderboard.boards import plots
from promptbench.leaderboard.web import replacing

MARK = ".promptbench-site"  # says that a folder may be replaced
_RENDERED_BY = ("jinja2", "markupsafe", "pillow")  # besides promptbench


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
    return Path(str(resources.files("promptbench.leaderboard.web"))) / name


def _rights(file: Path) -> tuple[int, ...]:
    found = file.stat()
    return found.st_mode, found.st_uid, found.st_gid


class _Environment(Environment):
    """Templates whose facts are dicts for the most part."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look into a dict first: an attribute that it lacks takes ten times as long to miss."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


class Templates:
    """Renders templates into pages of a site; `shared` is what all of them receive."""

    def __init__(self, out: Path, shared: Mapping[str, Any]) -> None:
        self._out, self.shared = out, shared
        self._folders: set[Path] = set()  # which were made, or found
        self._environment = _Environment(
            loader=FileSystemLoader(_here("templates")),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=True,
        )

    @functools.cached_property
    def digest(self) -> str:
        """A hash of all that pages of the same facts depend on: the templates, what renders them,
        and what stands around each page."""
        found = hashlib.sha256(repr([metadata.version(name) for name in _RENDERED_BY]).encode())
        for file in sorted(_here("templates").glob("*.html")):
            found.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
        frame = {**self.shared, "title": "", "root": "../"}
        found.update(self._environment.get_template("base.html").render(frame).encode())
        return found.hexdigest()

    def write(self, path: str, template: str, **context: Any) -> bytes:
        """Write the page `path`, relative to the site's folder; return what was written."""
        data = self.part(path, template, **context).encode()
        self.put(path, data)
        return data

    def part(self, path: str, template: str, **context: Any) -> Markup:
        """A part of the page at `path`, or all of it, as HTML."""
        facts = {**self.shared, **context, "root": "../" if "/" in path else ""}
        return Markup(self._environment.get_template(template).render(facts))

    def take(self, path: str, file: Path) -> None:
        """Put a file of an earlier site to its place in the site's folder, as it is: under a second
        name, where the file system has that, since neither site changes its files in place. One
        with another owner or other rights than new files have is copied."""
        own = self._place(path)
        if _rights(file) == self._usual:
            with suppress(OSError):  # a file system without second names, or with too many of them
                os.link(file, own)
                return
        shutil.copyfile(file, own)

    @functools.cached_property
    def _usual(self) -> tuple[int, ...]:
        """The rights and the owner of the files of this site."""
        return _rights(self._out / MARK)

    def put(self, path: str, data: bytes) -> None:
        """Put a page, or a file beside one, to its place in the site's folder, as it is."""
        self._place(path).write_bytes(data)

    def _place(self, path: str) -> Path:
        """A file of the site, whose folder is there."""
        file = self._out / path
        if file.parent not in self._folders:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(file.parent)
        return file
