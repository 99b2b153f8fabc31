"""Pages of records, written by processes beside this one: of a large site they take the longest.

What a page says hangs on its record, on the frame that all pages have, and on whether the site has
room for pictures. Pages that may need pictures are written here, one after the other, since each
takes room from the next; all others in any order, to the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar

from promptbench.errors import one_line
from promptbench.leaderboard.checking import outlined
from promptbench.leaderboard.checking.verdicts import State, Verdict
from promptbench.leaderboard.web import error_pages, record_pages
from promptbench.leaderboard.web.error_pages import Links
from promptbench.leaderboard.web.folder import Templates
from promptbench.leaderboard.web.thumbnails import Thumbnails
from promptbench.records.parts import File
from promptbench.support.crew import DIED, GONE, Crew
from promptbench.support.progress import Reporter

Asked = TypeVar("Asked")
_Handed = tuple["Page", int | None, Asked]
_FIRST = 64  # pages that are written here, to see that there are many to be written
_TOGETHER = 8  # pages that a process is given at once


class Written(NamedTuple):
    """A page that was written: its SHA-256, and where in it the links to siblings stand."""

    sha256: str
    place: int
    length: int


@dataclass(frozen=True, slots=True)
class Page:
    """What another process needs to write a page of a record."""

    place: str
    path: Path
    sha256: str
    state: State
    notes: tuple[str, ...]
    links: Links
    folders: Mapping[File, Path]


@dataclass(frozen=True)
class Site:
    """A site that is being written: where, what all of its pages are given, as JSON, and its
    pictures."""

    out: Path
    shared: str
    pictures: str
    root: Path | None


class PageProcesses(Generic[Asked]):
    """Hands pages to other processes, once many were written here; to be used as a context.

    They write them while this process goes on; see `finish`. Thousands may wait: what is kept of
    each is little.

    Args:
        site: which is written.
        crew: the processes that there may be.
        reporter: hears of processes that die.
        done: hears, from another thread, how many more pages other processes have written.
    """

    def __init__(
        self,
        site: Site,
        crew: Crew,
        reporter: Reporter,
        done: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._site, self._crew, self._reporter, self._done = site, crew, reporter, done
        self._stack = ExitStack()
        self._pool: ProcessPoolExecutor | None = None
        self._next: list[_Handed[Asked]] = []
        self._waiting: deque[tuple[Future[list[Written]], list[Asked]]] = deque()
        self._written = 0
        self._ended = crew.processes < 2

    def tell(
        self, then: Callable[[Asked, Written], object], here: Callable[[Asked], object]
    ) -> None:
        """Take what is done about a page that was asked for: `then` by `finish`, in the order of
        pages, once it is written; `here` to write it in this process, if the others have died."""
        self._then, self._here = then, here

    def __enter__(self) -> PageProcesses[Asked]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if kind is None:
                self.finish()

    def takes(self) -> bool:
        """Whether the next page can be handed over; whoever is told no writes it."""
        self._written += 1
        return not self._ended and self._written > _FIRST

    def write(self, page: Page, held: int | None, asked: Asked) -> None:
        """Have a page written that was `asked` for, together with the next ones; `held` are the
        pictures of the site, if it holds its most."""
        self._next.append((page, held, asked))
        if len(self._next) == _TOGETHER:
            self._submit()

    def _submit(self) -> None:
        """Hand over the pages that were collected."""
        handed, self._next = self._next, []
        asked = [each for *_, each in handed]
        if self._ended or not handed:
            self._write_here(asked)
            return
        pages = [(page, held) for page, held, _ in handed]
        try:
            if self._pool is None:
                self._pool = self._stack.enter_context(self._crew.started(self._crew.processes))
            future = self._pool.submit(_write, self._site, pages)
            future.add_done_callback(self._count)
            self._waiting.append((future, asked))
        except BrokenProcessPool:
            self._end(DIED)
            self._write_here(asked)
        except OSError as error:  # the system has no room for more of them
            self._end(f"no process can be started beside this one ({one_line(error)}); {GONE}")
            self._write_here(asked)

    def _count(self, future: Future[list[Written]]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._done(len(future.result()))

    def _write_here(self, asked: Iterable[Asked]) -> None:
        for each in asked:
            self._here(each)

    def finish(self) -> None:
        """Wait until all pages are written.

        Raises:
            UserError: one of them cannot be written.
        """
        self._submit()
        while self._waiting:
            future, asked = self._waiting.popleft()
            try:
                for each, found in zip(asked, future.result(), strict=True):
                    self._then(each, found)
            except (BrokenProcessPool, CancelledError):  # with those before it, or by `_end`
                self._end(DIED)
                self._write_here(asked)

    def _end(self, why: str) -> None:
        """Go on without processes, once none of them writes any more; the first reason is said."""
        self._stack.close()
        if not self._ended:
            self._reporter.message(why)
        self._ended = True


def _write(site: Site, pages: Sequence[tuple[Page, int | None]]) -> list[Written]:
    """Write pages, in a process of its own."""
    return [_write_page(site, page, held) for page, held in pages]


def _write_page(site: Site, page: Page, held: int | None) -> Written:
    verdict = Verdict(page.path, outlined.read(page.path, page.sha256), page.state, (), page.notes)
    facts = record_pages.whole_page(verdict, page.folders, _thumbnails(site, held))
    return written(_templates(site), page.place, facts, page.links)


def written(templates: Templates, page: str, facts: Mapping[str, Any], links: Links) -> Written:
    """Write the page of a record with what it says and with the links of its row."""
    siblings = error_pages.linked(templates, page, links)
    data = templates.write(page, "errors.html", **facts, siblings=siblings)
    block = siblings.encode()
    place = data.find(block) if block else -1
    return Written(hashlib.sha256(data).hexdigest(), place, len(block))


@functools.lru_cache(maxsize=1)
def _templates(site: Site) -> Templates:
    return Templates(site.out, json.loads(site.shared))


@functools.lru_cache(maxsize=2)  # the site has room for pictures, and then it has none
def _thumbnails(site: Site, held: int | None) -> Thumbnails:
    if held is None:
        return Thumbnails(site.out, site.pictures, site.root)
    return Thumbnails(site.out, site.pictures, site.root, 0, held)
