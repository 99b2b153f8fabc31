"""What to cite: the suite, methods, protocols and datasets, with what is known of their papers.

Nothing is invented. Titles are those of `leaderboard/published/papers.csv`, authors those that the
plugins' own modules name; what is missing is listed, so that whoever writes the paper adds it.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from promptbench.core.registry import METHODS, PROTOCOLS
from promptbench.data.cards import cards
from promptbench.data.cards.cards import DataCard
from promptbench.errors import UserError, unknown
from promptbench.records import Record
from promptbench.report import published
from promptbench.support import bibtex
from promptbench.support.bibtex import Entry
from promptbench.support.safe_text import printable
from promptbench.support.version import __version__

_ARXIV = re.compile(r"arxiv(?:\.org/(?:abs|pdf)/|[:\s]\s*)(\d{2})(\d{2}\.\d{4,5})", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s,;]+")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_NAME = r"[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*"
_NOTHING = "promptbench knows nothing to cite for"
_NO_TITLE = "promptbench does not know the titles of these papers, a name stands for each"
_NO_AUTHORS = "promptbench does not know the authors of these papers, add them"
_FIRST_AUTHOR = "promptbench knows only the first authors of these papers"
_CARD = re.compile(r"(?P<title>.+)\. (?P<venue>.+), (?P<year>\d{4})\. \[(?P<key>.+)\]")


@dataclass
class Bibliography:
    """Works by what they are, in order, with who wants each cited; what is not known of whom."""

    entries: dict[str, Entry] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    lacks: dict[str, list[str]] = field(default_factory=dict)

    def add(self, entry: Entry, name: str) -> None:
        """Add a work that `name` wants cited; one that is there is not repeated, but may gain
        authors."""
        identity = (
            entry.fields.get("eprint")
            or entry.raw
            or f"{entry.fields['title']} {entry.fields.get('howpublished', '')}".casefold()
        )
        before = self.entries.setdefault(identity, entry)
        self.named.setdefault(identity, name)
        if not before.authors:
            self.entries[identity] = replace(before, authors=entry.authors)

    def lack(self, what: str, name: str) -> None:
        """Remember what is not known."""
        names = self.lacks.setdefault(what, [])
        if name not in names:
            names.append(name)

    def text(self) -> str:
        """BibTeX, with what is not known in comments before it."""
        lacks = {what: list(names) for what, names in self.lacks.items()}
        for identity, entry in self.entries.items():
            if not entry.raw and entry.authors[-1:] in ((), ("others",)):
                what = _FIRST_AUTHOR if entry.authors else _NO_AUTHORS
                lacks.setdefault(what, []).append(self.named[identity])
        notes = [
            f"% {what}: {printable(', '.join(names)).replace('@', '(at)')}\n"
            for what, names in lacks.items()
        ]
        return "".join(notes) + ("\n" if notes else "") + bibtex.text_of(self.entries.values())


def bibliography(names: Sequence[str], records: Iterable[Record] = ()) -> Bibliography:
    """Collect what to cite for methods, protocols and datasets by name, and for records.

    Raises:
        UserError: a name that nothing has.
    """
    found = Bibliography()
    found.add(suite_entry(), "promptbench")
    for name in map(published.called, names):
        if name in METHODS.names() or name in published.methods():
            _add_method(found, name)
        elif name in PROTOCOLS.names():
            _add_protocol(found, name)
        elif name in cards.names():
            _add_dataset(found, name)
        else:
            known = [*METHODS.names(), *PROTOCOLS.names(), *cards.names(), *published.methods()]
            raise unknown("method, protocol or dataset", name, known)
    _add_records(found, list(records))
    return found


def _add_records(found: Bibliography, records: Sequence[Record]) -> None:
    methods = {record.method.name: record for record in records}
    for name, record in sorted(methods.items()):
        add_method(found, name, record)
    for name in sorted({record.protocol.name for record in records}):
        if name in PROTOCOLS.names():
            _add_protocol(found, name)
        else:
            found.lack(_NOTHING, name)
    used = {target.dataset for record in records for target in record.targets}
    for name in sorted(used | {record.source.dataset for record in records}):
        if name in cards.names():
            _add_dataset(found, name)
        else:
            found.lack(_NOTHING, name)


def add_method(found: Bibliography, name: str, record: Record | None = None) -> None:
    """Add the papers of a method, of a stranger's as its record names them."""
    if name in METHODS.names() or name in published.methods():
        _add_method(found, name)
    elif record is not None:  # a stranger's, whose plugin is not here
        _add_paper(found, name, record.method.title, record.method.paper, "")
    else:
        found.lack(_NOTHING, name)


def add_printed(found: Bibliography, paper: str) -> None:
    """Add a paper that prints numbers, such as `arXiv 2309.07439`, if its title is known."""
    if (known := published.titles().get(paper)) is not None:
        fields = paper_fields(paper)
        key = f"arxiv{fields.get('eprint', '')}"
        found.add(
            Entry(key, {"title": known.title} | {k: v for k, v in fields.items() if v}), paper
        )


def suite_entry() -> Entry:
    """Return what cites promptbench itself."""
    return Entry(
        "promptbench",
        {
            "title": "promptbench: one benchmark suite for prompt-learning methods of "
            "vision-language models",
            "note": f"Version {__version__}, Apache-2.0",
        },
        ("The promptbench developers",),
    )


def _add_method(found: Bibliography, name: str) -> None:
    """Add the paper of a method; of one on top of another (`coop+dept`), the papers of both."""
    printed = published.methods().get(name)
    if printed is not None and printed.parts:
        for part in printed.parts:
            _add_method(found, part)
    elif name in METHODS.names():
        title, paper = METHODS.stated(name, "title"), METHODS.stated(name, "paper")
        _add_paper(found, name, title, paper, METHODS.text_of(name))
    else:
        own = published.methods()[name]
        _add_paper(found, name, own.title, own.paper, "")


def _add_protocol(found: Bibliography, name: str) -> None:
    """Add the papers that a protocol's module names."""
    cls = PROTOCOLS.load(name).cls
    text = " ".join((inspect.getdoc(sys.modules[cls.__module__]) or "").split())
    papers = list(dict.fromkeys(f"arXiv {a}{b}" for a, b in _ARXIV.findall(text)))
    for paper in papers:
        _add_paper(found, name, cls.title, paper, text)
    if not papers:
        found.lack(_NOTHING, name)


def _add_paper(found: Bibliography, name: str, title: str, paper: str, text: str) -> None:
    known = published.titles().get(paper) or published.titles().get(name)
    fields = paper_fields(paper)
    if name in published.methods() and published.methods()[name].paper == paper:
        fields["year"] = published.methods()[name].year or fields.get("year", "")
    if known is None:
        found.lack(_NO_TITLE, name)
    else:
        fields["url"] = known.url or fields.get("url", "")
    year = fields.get("year", "")
    entry = Entry(
        f"{name}{year}",
        {"title": known.title if known else title} | {k: v for k, v in fields.items() if v},
        authors_of(text, paper),
    )
    found.add(entry, name)


def paper_fields(paper: str) -> dict[str, str]:
    """What a plugin's `paper` says, as fields: an arXiv number, an address, a venue, a year."""
    if found := _ARXIV.search(paper):
        number = found[1] + found[2]
        return {
            "year": f"20{found[1]}",
            "eprint": number,
            "archivePrefix": "arXiv",
            "url": f"https://arxiv.org/abs/{number}",
        }
    url, year = _URL.search(paper), _YEAR.search(paper)
    venue = _URL.sub("", paper).strip(" ,;")
    return {
        "howpublished": venue,
        "year": year[0] if year else "",
        "url": url[0] if url else "",
    }


def authors_of(text: str, paper: str) -> tuple[str, ...]:
    """The surnames before a paper in a module's text: `Zhou et al., arXiv 2109.01134`."""
    text = " ".join(text.split())
    before = re.search(rf"({_NAME})(?: and ({_NAME})| et al\.),? {re.escape(paper)}(?!\d)", text)
    if before is None:
        return ()
    return (before[1], before[2] or "others")


def _add_dataset(found: Bibliography, name: str) -> None:
    card = cards.load(name)
    if name in cards.generated():
        return  # part of the suite, which is cited
    entry = entry_of(card)
    if entry is None:
        found.lack(_NOTHING, name)
    else:
        found.add(entry, name)


def entry_of(card: DataCard) -> Entry | None:
    """What a card wants cited: an entry that it holds, `Title. Venue, Year. [key]`, or free text;
    None where it says nothing."""
    text = card.citation.strip()
    if text in ("", "unknown"):
        return None
    if (key := bibtex.parsed_key(text)) is not None:
        return Entry(key, raw=text)
    found = _CARD.fullmatch(text)
    if found is None:
        fields = paper_fields(text)
        return Entry(card.name, {"title": card.title, "note": text} | _kept(fields))
    title = found["title"] if found["title"][-1:] != "." else found["title"][:-1]
    fields = paper_fields(found["venue"]) | {"year": found["year"]}
    return Entry(found["key"], {"title": title} | {k: v for k, v in fields.items() if v})


def _kept(fields: Mapping[str, str]) -> dict[str, str]:
    """Of free text, which is a note already, only what is a field of its own."""
    return {name: value for name, value in fields.items() if value and name != "howpublished"}


def citation_text(card: DataCard) -> str | None:
    """BibTeX of a card; None where it says nothing."""
    entry = entry_of(card)
    return None if entry is None else bibtex.text_of([replace(entry)]).strip()


def refuse_empty(records: Sequence[Record], where: Iterable[object]) -> None:
    """Refuse folders without records.

    Raises:
        UserError: there are none.
    """
    if not records:
        raise UserError(f"no records in {', '.join(map(str, where))}; nothing to cite for them")
