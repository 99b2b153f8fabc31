"""What stands on the leaderboard, and whether records may join it.

A record that has been accepted counts until a person removes its folder. What comes later is
refused, by name, if it gives the same cell other numbers (also where it repeats it in other last
digits: it counts once), repeats another seed, contradicts what others say of the same method or
images, or would weaken a row that stands. No date that a record gives itself decides anything.
"""

from __future__ import annotations

import datetime
import functools
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from promptbench import records as store
from promptbench.errors import UserError
from promptbench.leaderboard.checking import (
    agreement,
    cells,
    checks,
    places,
    repetitions,
    run_checks,
    twins,
)
from promptbench.leaderboard.checking.cells import Entry
from promptbench.leaderboard.checking.verdicts import Then, Verdict, judge_all, once
from promptbench.storage.remembered import Remembered
from promptbench.support.progress import Reporter
from promptbench.support.safe_text import printable

_SLACK = datetime.timedelta(days=1)  # between clocks
_MOST = 4  # reasons of one verdict that other records give
_REMOVE = "what stands counts until a person removes it"


def judge(
    paths: Sequence[Path],
    root: Path | None = None,
    memory: Remembered | None = None,
    reporter: Reporter | None = None,
    then: Then | None = None,
) -> list[Verdict]:
    """The verdicts on record files, in order: each by itself, then beside the others and beside
    what stands on the leaderboard. `root` is the data root, if there is one; `memory` knows
    verdicts on single records; `reporter` hears how far it is with them, and `then` is what is
    asked of records next (`judge_all`).
    """
    asked = set(paths)
    rest = [path for path in store.find([places.results()]) if path not in asked]
    if rest:  # which may lie among `paths` under another name
        given = {path.resolve() for path in paths}
        rest = [path for path in rest if path.resolve() not in given]
    return together(judge_all(paths, root, memory, reporter, then), list(readable(rest)))


def judge_with_accepted(
    paths: Sequence[Path],
    root: Path | None = None,
    memory: Remembered | None = None,
    reporter: Reporter | None = None,
    then: Then | None = None,
) -> list[Verdict]:
    """The verdicts on all accepted results and then on other record files, as `judge`."""
    every = dict.fromkeys([*store.find([places.results()]), *paths])
    return judge(list(every), root, memory, reporter, then)


def counting(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Of verdicts that are not refusals, one per cell: the accepted one, else the best.

    Raises:
        UserError: records of one cell with different numbers.
    """
    good = [verdict for verdict in verdicts if verdict.record and verdict.state != "refused"]
    accepted = [verdict for verdict in good if stands(verdict.path)]
    taken = {cells.cell_of(verdict.record) for verdict in accepted if verdict.record}
    new = [
        v for v in good if not stands(v.path) and v.record and cells.cell_of(v.record) not in taken
    ]
    found = once([*accepted, *new])
    cells.refuse_other_numbers([(v.path, v.record) for v in found if v.record])
    return found


def stands(path: Path) -> bool:
    """Whether a record lies among the accepted ones."""
    return _lies_in(path.parent, places.results())


@functools.lru_cache(maxsize=2**16)  # asked for several times of each record
def _lies_in(folder: Path, other: Path) -> bool:
    if ".." in folder.parts or folder == folder.parent or folder.is_symlink():
        return folder.resolve().is_relative_to(_resolved(other))
    # Few folders hold all those of records.
    alike = os.path.normcase(folder.name) == os.path.normcase(_resolved(other).name)
    return _lies_in(folder.parent, other) or (alike and folder.resolve() == _resolved(other))


@functools.lru_cache(maxsize=16)
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def readable(paths: Sequence[Path]) -> Iterator[Entry]:
    """Yield the records of files that can be read, and whose names are known here."""
    for path in paths:
        try:
            record = store.parse(path)
        except UserError:  # verifying the accepted results says so; it is on no board
            continue
        if next(checks.names(record), None) is None:
            yield path, record


def together(verdicts: Sequence[Verdict], rest: Sequence[Entry] = ()) -> list[Verdict]:
    """Verdicts with the reasons that other records give against them; `rest` are further accepted
    records, which are not judged here."""
    good = [verdict for verdict in verdicts if verdict.state != "refused"]
    entries = [*rest, *((verdict.path, verdict.record) for verdict in good if verdict.record)]
    reasons: dict[Path, dict[str, None]] = defaultdict(dict)
    for path, reason in _between(entries):
        reasons[path].setdefault(reason)
    found = [_with(verdict, list(reasons[verdict.path])) for verdict in verdicts]
    standing = [entry for entry in entries if stands(entry[0])]
    rows: dict[cells.Key, list[Entry]] = defaultdict(list)
    for entry in standing:
        rows[cells.row_of(entry[1])].append(entry)
    made = [time for _, record in standing if (time := run_checks.created(record)) is not None]
    latest = max([datetime.datetime.now(datetime.UTC), *made]) + _SLACK
    witnesses = agreement.Witnesses([entry for own in rows.values() for entry in own])
    found = [_with(v, list(_beside_rows(v, rows, witnesses, latest))) for v in found]
    gaps = dict(_gaps(found, standing))
    return [_with(verdict, gaps.get(verdict.path, [])) for verdict in found]


def _with(verdict: Verdict, reasons: Sequence[str]) -> Verdict:
    if not reasons:
        return verdict
    shown = tuple(map(printable, reasons[:_MOST]))
    if len(reasons) > _MOST:
        shown += (f"and {len(reasons) - _MOST} more",)
    return replace(verdict, state="refused", reasons=(*verdict.reasons, *shown))


def _between(entries: Sequence[Entry]) -> Iterator[tuple[Path, str]]:
    """What pairs of records have against each other: the one that does not stand is to blame, or
    both."""
    stand = [stands(path) for path, _ in entries]
    copies = sorted(twins.pairs(entries), key=lambda pair: not (stand[pair[0]] or stand[pair[1]]))
    explained: set[int] = set()  # copies of what stands say nothing against others
    for i, j, what in copies:
        one_stands = stand[i] or stand[j]
        if not one_stands and explained & {i, j}:
            continue
        explained |= {k for k in (i, j) if one_stands and not stand[k]}
        for own, other in _blamed(entries[i], entries[j]):
            yield own[0], f"{cells.named(other[1])} has the same {what}: {other[0]}"
    for i, j, what in agreement.disagreements(entries, stand):
        yield entries[i][0], f"{what} is not as in {entries[j][0]}"
    for i, j in agreement.lookalikes(entries):
        own, other = entries[i], entries[j]
        if stands(own[0]) and not stands(other[0]):
            own, other = other, own
        yield own[0], f"the title {own[1].method.title!r} reads like that of {other[0]}"


def _blamed(first: Entry, other: Entry) -> Iterator[tuple[Entry, Entry]]:
    for own, against in ((first, other), (other, first)):
        if not stands(own[0]) or stands(against[0]):
            yield own, against


def _beside_rows(
    verdict: Verdict,
    rows: Mapping[cells.Key, Sequence[Entry]],
    witnesses: agreement.Witnesses,
    latest: datetime.datetime,
) -> Iterator[str]:
    """What the rows that stand have against a record that is not accepted."""
    record = verdict.record
    if record is None or verdict.state == "refused" or stands(verdict.path):
        return
    row = rows.get(cells.row_of(record), ())
    same = [entry for entry in row if cells.cell_of(entry[1]) == cells.cell_of(record)]
    for entry in same:
        problem = cells.conflict(entry, (verdict.path, record))
        if problem and repetitions.repeats(entry, (verdict.path, record)):
            yield repetitions.REASON
        elif problem:
            yield f"{problem}; {_REMOVE}"
    if row and not same and verdict.state != "verified":
        notes = "; ".join(verdict.notes)
        yield (
            f"{cells.named(record)} would join a row that stands, which only verified records can: "
            f"{notes}"
        )
    if verdict.state == "consistent":  # the datasets are not at hand
        yield from witnesses.against((verdict.path, record))
    made = run_checks.created(record)
    if made is not None and made > latest:
        yield f"it was created in the future ({record.created})"


def _gaps(
    verdicts: Sequence[Verdict], standing: Sequence[Entry]
) -> Iterator[tuple[Path, list[str]]]:
    """New seeds of rows that stand without all of the row's sources: averages would be lost."""
    rows: dict[cells.Key, set[cells.Key]] = defaultdict(set)
    have: dict[tuple[cells.Key, int], set[cells.Key]] = defaultdict(set)
    for _, record in standing:
        rows[cells.row_of(record)].add(cells.place_in_row(record))
    stand = {(cells.row_of(record), record.seed) for _, record in standing}
    good = [v for v in verdicts if v.state != "refused" and not stands(v.path)]
    new = [(verdict.path, verdict.record) for verdict in good if verdict.record]
    for _, record in new:
        have[cells.row_of(record), record.seed].add(cells.place_in_row(record))
    for path, record in new:
        key = (cells.row_of(record), record.seed)
        missing = rows.get(key[0], set()) - have[key]
        if missing and key not in stand:
            names = ", ".join(sorted(str(place[0]) for place in missing))
            yield path, [f"seed {record.seed} of a row that stands lacks {names}"]
