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
from functools import partial
from pathlib import Path
from typing import Any

from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web.folder import Templates
from promptbench.leaderboard.web.page_processes import Page, PageProcesses, Written, written
from promptbench.leaderboard.web.thumbnails import Thumbnails
from promptbench.mixing.outlines import Outline
from promptbench.records.scores import Folders, file_of
from promptbench.storage import remembered
from promptbench.storage.remembered import Remembered

Links = Sequence[Sequence[str]]  # names, and where they lead to


class KeptPages:
    """Takes pages of records over from an earlier site, and remembers those that are written.

    Args:
        earlier: the site that is replaced; it need not be there.
        templates: which write its pages.
        thumbnails: which write its pictures.
        folders: where predictions lie.
        memory: what was written before; without it every page is written.
        processes: which write pages beside this process; without them it writes all.
    """

    def __init__(
        self,
        earlier: Path,
        templates: Templates,
        thumbnails: Thumbnails,
        folders: Folders,
        memory: Remembered | None,
        processes: PageProcesses | None = None,
    ) -> None:
        self._processes = processes
        self._earlier, self._templates, self._thumbnails = earlier, templates, thumbnails
        self._folders, self._memory = folders, memory

    def write(
        self,
        page: str,
        template: str,
        verdict: Verdict,
        siblings: Links,
        facts: Callable[[], dict[str, Any]],
    ) -> None:
        """Take over the page of a record, or write it with what `facts` says and with links to
        `siblings`, the pages of its other seeds."""
        key = self._key(page, verdict)
        block = self._templates.rendered(page, "siblings.html", siblings=siblings)
        if key is not None and self._take(page, key, block):
            return
        here = partial(self._write_here, page, template, siblings, facts, key, block)
        record = verdict.record
        if (
            self._processes is not None
            and isinstance(record, Outline)
            and self._thumbnails.settled(record)
            and self._processes.takes()
        ):
            told = self._told(page, template, verdict, record, siblings)
            held = self._thumbnails.held if self._thumbnails.full else None
            self._processes.write(told, held, partial(self._note, key, ()), here)
        else:
            here()

    def _write_here(
        self,
        page: str,
        template: str,
        siblings: Links,
        facts: Callable[[], dict[str, Any]],
        key: str | None,
        block: bytes,
    ) -> None:
        before = self._thumbnails.lacks
        said = facts()
        data = self._templates.write(page, template, **said, siblings=siblings)
        # Where pictures were left out of which the next site may have some, it is written again.
        if before == self._thumbnails.lacks:
            self._note(key, _pictures(said), written(data, block))

    def _told(
        self, page: str, template: str, verdict: Verdict, record: Outline, siblings: Links
    ) -> Page:
        files = {file_of(target) for target in record.targets} & self._folders.keys()
        return Page(
            page,
            template,
            verdict.path,
            record.file_sha256,
            verdict.state,
            verdict.notes,
            tuple((name, href) for name, href in siblings),
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

    def _take(self, page: str, key: str, block: bytes) -> bool:
        """Take over a page that was written under this key, with its pictures, if it lies there;
        `block` are the links to siblings that it is to have."""
        fact = self._memory.get(key) if self._memory is not None else None
        file = self._earlier / page
        if fact is None or not file.is_file() or file.is_symlink():
            return False
        digest, pictures, place, length = json.loads(fact)
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            return False
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
