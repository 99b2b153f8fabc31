"""Pages of records that stay as they are: taken from the site that the new one replaces.

To read predictions and write down what is wrong in them takes most of the time of a large site, and
of most records nothing has changed since the last one. A page is taken over if all that it says was
found from the same bytes by the same code and templates (see `_key`), and if it is, byte for byte,
the page that was written then. A page of anything else is written again, and one of a record that
is gone is not taken along, so that the site is the one that is written afresh.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import error_pages
from promptbench.leaderboard.web.error_pages import Links
from promptbench.leaderboard.web.folder import Templates
from promptbench.leaderboard.web.page_processes import Page, PageProcesses, Written, written
from promptbench.leaderboard.web.thumbnails import Thumbnails
from promptbench.mixing.outlines import Outline
from promptbench.records.scores import Folders, file_of
from promptbench.storage import remembered
from promptbench.storage.remembered import Remembered


class Wanted(NamedTuple):
    """A page that is wanted, with the links of its row, and the key that it is remembered by."""

    page: str
    verdict: Verdict
    links: Links
    key: str | None


class KeptPages:
    """Takes pages of records over from an earlier site, and remembers those that are written.

    Args:
        earlier: the site that is replaced; it need not be there.
        templates: which write its pages.
        thumbnails: which write its pictures.
        folders: where predictions lie.
        facts: what the page of a record says.
        memory: what was written before; without it every page is written.
        processes: which write pages beside this process; without them it writes all.
        done: is called once for each page that this process takes over or writes.
    """

    def __init__(
        self,
        earlier: Path,
        templates: Templates,
        thumbnails: Thumbnails,
        folders: Folders,
        facts: Callable[[Verdict], dict[str, Any]],
        memory: Remembered | None,
        processes: PageProcesses[Wanted] | None = None,
        done: Callable[[], object] = lambda: None,
    ) -> None:
        self._earlier, self._templates, self._thumbnails = earlier, templates, thumbnails
        self._folders, self._facts, self._memory = folders, facts, memory
        self._processes, self._done = processes, done
        if processes is not None:
            processes.tell(self._was_written, self._write_here)

    def write(self, page: str, verdict: Verdict, links: Links) -> None:
        """Take over the page of a record, or write it, with those of its row's `links` that lead to
        other pages; or hand it to other processes, which may write it later."""
        wanted, record = Wanted(page, verdict, links, self._key(page, verdict)), verdict.record
        if self._take(wanted):
            self._done()
        elif (
            self._processes is not None
            and isinstance(record, Outline)
            and self._thumbnails.settled(record)
            and self._processes.takes()
        ):
            held = self._thumbnails.held if self._thumbnails.full else None
            self._processes.write(self._told(wanted, record), held, wanted)
        else:
            self._write_here(wanted)

    def _write_here(self, wanted: Wanted) -> None:
        before = self._thumbnails.lacks
        said = self._facts(wanted.verdict)
        found = written(self._templates, wanted.page, said, wanted.links)
        # Where pictures were left out of which the next site may have some, it is written again.
        if before == self._thumbnails.lacks:
            self._note(wanted.key, _pictures(said), found)
        self._done()

    def _was_written(self, wanted: Wanted, found: Written) -> None:
        self._note(wanted.key, (), found)

    def _told(self, wanted: Wanted, record: Outline) -> Page:
        files = {file_of(target) for target in record.targets} & self._folders.keys()
        return Page(
            wanted.page,
            wanted.verdict.path,
            record.file_sha256,
            wanted.verdict.state,
            wanted.verdict.notes,
            wanted.links,
            {file: self._folders[file] for file in files},
        )

    def _key(self, page: str, verdict: Verdict) -> str | None:
        """A hash of all that the page of a record depends on, but for its siblings, which come and
        go; None where code that is not promptbench's has a say, or nothing is remembered."""
        record = verdict.record
        if self._memory is None or verdict.seen is None or record is None:
            return None
        return remembered.key_of(
            "page of a record",
            self._templates.digest,
            page,
            verdict.seen,
            verdict.state,
            verdict.notes,
            [file_of(target) in self._folders for target in record.targets],
            self._thumbnails.sources(record),
            self._thumbnails.full,
        )

    def _note(self, key: str | None, pictures: Sequence[str], page: Written) -> None:
        """Remember a page and its pictures, if it has a key."""
        if key is not None and self._memory is not None:
            self._memory.put(key, json.dumps([page.sha256, pictures, page.place, page.length]))

    def _take(self, wanted: Wanted) -> bool:
        """Take over a page that was written under its key, with its pictures, if it lies there;
        with the links that it is to have."""
        page, key = wanted.page, wanted.key
        fact = self._memory.get(key) if self._memory is not None and key is not None else None
        file = self._earlier / page
        if fact is None or not file.is_file() or file.is_symlink():
            return False
        digest, pictures, place, length = json.loads(fact)
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            return False
        block = error_pages.linked(self._templates, page, wanted.links).encode()
        linked = data[place : place + length] == block
        if not (linked or length) or not self._thumbnails.take(self._earlier, pictures):
            return False
        if linked:
            self._templates.take(page, file)
            return True
        data = data[:place] + block + data[place + length :]
        changed = Written(hashlib.sha256(data).hexdigest(), place if block else -1, len(block))
        self._note(key, pictures, changed)
        self._templates.put(page, data)
        return True


def _pictures(facts: Mapping[str, Any]) -> list[str]:
    """The pictures that the page of a record shows."""
    shown = (mistake for section in facts["sections"] for mistake in section["mistakes"] or ())
    return [mistake["picture"] for mistake in shown if mistake["picture"]]
