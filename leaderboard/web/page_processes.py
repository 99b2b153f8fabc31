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
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from promptbench.errors import one_line
from promptbench.leaderboard.checking import outlined
from promptbench.leaderboard.checking.verdicts import State, Verdict
from promptbench.leaderboard.web import record_pages
from promptbench.leaderboard.web.folder import Templates
from promptbench.leaderboard.web.thumbnails import Thumbnails
from promptbench.records.parts import File
from promptbench.support.crew import DIED, GONE, Crew
from promptbench.support.progress import Reporter

_FIRST = 64  # pages that are written here, to see that there are many to be written
_WAITING = 32  # pages that each process has been given, so that progress is what is done


class Written(NamedTuple):
    """A page that was written: its SHA-256, and where in it the links to siblings stand."""

    sha256: str
    place: int
    length: int


@dataclass(frozen=True)
class Page:
    """What another process needs to write a page of a record."""

    place: str
    template: str
    path: Path
    sha256: str
    state: State
    notes: tuple[str, ...]
    siblings: tuple[tuple[str, str], ...]
    folders: Mapping[File, Path]


@dataclass(frozen=True)
class Site:
    """A site that is being written: where, the frame of its pages as JSON, and its pictures."""

    out: Path
    shared: str
    pictures: str
    root: Path | None


class _Waiting(NamedTuple):
    """A page on its way, and what is to be done once it is written, or if it will not be."""

    future: Future[Written]
    then: Callable[[Written], None]
    here: Callable[[], None]


class PageProcesses:
    """Hands pages to other processes, once many were written here; to be used as a context.

    Args:
        site: which is written.
        crew: the processes that there may be.
        reporter: hears of processes that die.
    """

    def __init__(self, site: Site, crew: Crew, reporter: Reporter) -> None:
        self._site, self._crew, self._reporter = site, crew, reporter
        self._stack = ExitStack()
        self._pool: ProcessPoolExecutor | None = None
        self._waiting: deque[_Waiting] = deque()
        self._written = 0
        self._ended = crew.processes < 2

    def __enter__(self) -> PageProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if kind is None:
                self._wait(0)

    def takes(self) -> bool:
        """Whether the next page can be handed over; whoever is told no writes it."""
        self._written += 1
        return not self._ended and self._written > _FIRST

    def write(
        self,
        page: Page,
        held: int | None,
        then: Callable[[Written], None],
        here: Callable[[], None],
    ) -> None:
        """Have a page written.

        Args:
            held: the pictures of the site, if it holds its most.
            then: is told, in the order of pages, what was written.
            here: writes it in this process, if the others have died.

        Raises:
            UserError: an earlier page could not be written.
        """
        try:
            if self._pool is None:
                self._pool = self._stack.enter_context(self._crew.started(self._crew.processes))
            future = self._pool.submit(_write, self._site, page, held)
        except BrokenProcessPool:
            self._end(DIED)
            here()
            return
        except OSError as error:  # the system has no room for more of them
            self._end(f"no process can be started beside this one ({one_line(error)}); {GONE}")
            here()
            return
        self._waiting.append(_Waiting(future, then, here))
        self._wait(_WAITING * self._crew.processes)

    def _wait(self, most: int) -> None:
        """Wait until no more than so many pages are on their way."""
        while len(self._waiting) > most:
            page = self._waiting.popleft()
            try:
                page.then(page.future.result())
            except (BrokenProcessPool, CancelledError):  # with those before it, or by `_end`
                self._end(DIED)
                page.here()

    def _end(self, why: str) -> None:
        """Go on without processes, once none of them writes any more; the first reason is said."""
        self._stack.close()
        if not self._ended:
            self._reporter.message(why)
        self._ended = True


def _write(site: Site, page: Page, held: int | None) -> Written:
    """Write a page, in a process of its own."""
    verdict = Verdict(page.path, outlined.read(page.path, page.sha256), page.state, (), page.notes)
    templates = _templates(site)
    facts = record_pages.whole_page(verdict, page.folders, _thumbnails(site, held))
    data = templates.write(page.place, page.template, **facts, siblings=page.siblings)
    return written(data, templates.rendered(page.place, "siblings.html", siblings=page.siblings))


def written(data: bytes, block: bytes) -> Written:
    """What is remembered of a page with this block of links to siblings."""
    place = data.find(block) if block else -1
    return Written(hashlib.sha256(data).hexdigest(), place, len(block))


def frame(shared: Mapping[str, Any]) -> str:
    """What all pages of records are given, as JSON: of protocols what their links need."""
    links = [{"name": p["name"], "short": p["short"]} for p in shared["protocols"]]
    return json.dumps({**shared, "protocols": links})


@functools.lru_cache(maxsize=1)
def _templates(site: Site) -> Templates:
    return Templates(site.out, json.loads(site.shared))


@functools.lru_cache(maxsize=2)  # the site has room for pictures, and then it has none
def _thumbnails(site: Site, held: int | None) -> Thumbnails:
    if held is None:
        return Thumbnails(site.out, site.pictures, site.root)
    return Thumbnails(site.out, site.pictures, site.root, 0, held)
