"""BibTeX of what a protocol's boards show, for the page to hand out entries of the shown rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptbench.catalogue.citing import Bibliography, add_method, add_printed, suite_entry
from promptbench.leaderboard.boards.board import Board, BoardRow
from promptbench.leaderboard.web import source_links
from promptbench.support import bibtex
from promptbench.support.bibtex import Entry

_ADD = "% add the authors, promptbench knows {}\n"
_ARXIV = "arXiv "


def cited(boards: Sequence[Board]) -> dict[str, Any]:
    """Return `works`, the text of each entry by its key, and the keys of `methods` by name, of
    `papers` by their arXiv number, and of the `suite`."""
    rows = [row for board in boards for row in board.rows]
    found = Bibliography()
    found.add(suite_entry(), "promptbench")
    methods = {row.method: _identities(row) for row in {row.method: row for row in rows}.values()}
    for own in methods.values():
        for entry in own.values():
            found.add(entry, entry.key)
    numbers = [label for row in rows for label, _ in source_links.links(row.source)]
    papers = [label for label in dict.fromkeys(numbers) if label.startswith(_ARXIV)]
    for paper in papers:
        add_printed(found, paper)
    texts = bibtex.keyed_texts(found.entries.values())
    keys = dict(zip(found.entries, texts, strict=True))
    entries = dict(zip(texts, found.entries.values(), strict=True))
    printed = {paper.removeprefix(_ARXIV) for paper in papers}
    return {
        "works": {key: _lacking(entries[key]) + text for key, text in texts.items()},
        "methods": {name: [keys[identity] for identity in own] for name, own in methods.items()},
        "papers": {number: keys[number] for number in printed if number in keys},
        "suite": next(iter(texts)),
    }


def _identities(row: BoardRow) -> dict[str, Entry]:
    """The works of a row's method by what tells them apart."""
    found = Bibliography()
    records = [verdict.record for verdict in row.accepted if verdict.record]
    add_method(found, row.method, records[0] if records else None)
    return found.entries


def _lacking(entry: Entry) -> str:
    """A comment where the authors are not all known."""
    if entry.raw or entry.authors[-1:] not in ((), ("others",)):
        return ""
    return _ADD.format("only the first" if entry.authors else "none")
