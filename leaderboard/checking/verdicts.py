"""The verdict on a record: verified, consistent, reported or refused, each with its reasons.

What is verified may also be recomputed from what its method has learned (`recomputing`).

A record is `refused` if anything that is known here speaks against it. Of the others, one is
`verified` if its predictions give its counts, and its few-shot subset and the images and labels of
its test sets are those of the prepared datasets; `consistent` if its predictions give its counts
and something else could not be checked (the notes say what); `reported` without predictions.

A record is judged by itself here; `standing` judges several together.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from promptbench import records as store
from promptbench.errors import UserError
from promptbench.leaderboard.checking import (
    cells,
    checks,
    outlined,
    remembering,
    settings_checks,
    shard_checks,
)
from promptbench.leaderboard.checking.outlined import Outlines
from promptbench.records import Record, subset
from promptbench.records.predictions import Table
from promptbench.records.verify import predictions_path, recompute_target
from promptbench.storage import ahead, reading
from promptbench.storage.remembered import Remembered
from promptbench.support.progress import Reporter
from promptbench.support.prose import folded
from promptbench.support.safe_text import printable

State = Literal["recomputed", "verified", "consistent", "reported", "refused"]
STATES: tuple[State, ...] = get_args(State)  # best first
Then = Callable[
    [Record, Path, Remembered], None
]  # of a record in a folder; remembers what it finds
MOST_RECORD_BYTES = 4 * 2**20  # ImageNet's few-shot keys take half of one


@dataclass(frozen=True)
class Verdict:
    """What was found out about a record file.

    `record` is None if the file is none, and of one that `judge` does not refuse its outline
    (`whole` reads it again); `reasons` speak against it; `notes` say what could not be checked.
    `seen` is a hash of all that a verdict on the record by itself was found from: its bytes and
    those of its predictions, cards and shards at hand, code; None where it is not known.
    """

    path: Path
    record: Record | None
    state: State
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seen: str | None = field(default=None, compare=False)

    @property
    def accuracy_only(self) -> bool:
        """Whether its predictions hold labels and nothing of probabilities, as in schema 1."""
        return self.record is not None and self.record.labels_only

    def whole(self) -> Record:
        """The whole record, which there must be.

        Raises:
            UserError: as `outlined.whole`.
        """
        assert self.record is not None, "only of a file that is a record"
        return outlined.whole(self.path, self.record)


def folded_notes(verdicts: Iterable[Verdict]) -> list[str]:
    """The notes on records, each once, with whom it is about: a record, or how many."""
    return folded((v.path, note) for v in verdicts for note in dict.fromkeys(v.notes))


def judge(
    path: Path,
    root: Path | None = None,
    memory: Remembered | None = None,
    outlines: Outlines | None = None,
) -> Verdict:
    """The verdict on one record file.

    Args:
        root: the data root, if there is one.
        memory: verdicts on records of the same bytes, by this code.
        outlines: make those of the records, which share what they have in common.
    """
    outlines = outlines or Outlines(memory)
    try:
        if path.stat().st_size > MOST_RECORD_BYTES:
            raise UserError(f"the record is larger than {MOST_RECORD_BYTES // 2**20} MiB")
        data = reading.read_bytes(path, store.MOST_BYTES, "the record")
        digest = hashlib.sha256(data).hexdigest()
        known_before = _remembered(path, digest, root, memory, outlines)
        if known_before is not None:
            return known_before
        # A change is refused for what it says, not for being one.
        said = store.parsed(data, path, memory, digest)
        record = subset.filled(said, path.parent)
    except (UserError, OSError) as error:
        return Verdict(path, None, "refused", (printable(str(error)),))
    key = remembering.key_of(record, digest, path.parent, root) if memory is not None else None
    found = replace(_judged(path, record, root), seen=key)
    if found.state == "refused":  # what it says may be anything
        return found
    if memory is not None and key is not None:
        memory.put(key, remembering.packed(found.state, found.notes))
    return replace(found, record=outlines.of(record, digest, said.source.keys_sha256))


def _remembered(
    path: Path, digest: str, root: Path | None, memory: Remembered | None, outlines: Outlines
) -> Verdict | None:
    """The verdict on a file with this SHA-256, where it is known, and the outline of its record.

    Raises:
        UserError: as `Outlines.get`.
    """
    outline = outlines.get(digest, path.parent)
    if memory is None or outline is None:
        return None
    key = remembering.key_of(outline, digest, path.parent, root)
    found = memory.get(key) if key is not None else None
    if found is None:
        return None
    state, notes = remembering.unpacked(found)
    return Verdict(path, outline, state, (), notes, key)


def _judged(path: Path, record: Record, root: Path | None) -> Verdict:
    reasons = checks.refusals(record)
    missing, predictions = _predictions(record, path.parent, reasons)
    unproven = list(settings_checks.unchecked(record))
    reasons += _shared_images(record, predictions)
    if not reasons:
        prepared = shard_checks.at_hand(record, root)
        reasons += shard_checks.reasons(record, predictions, prepared)
        absent = sorted(set(record.data) - set(prepared))
        if absent:
            unproven.append(
                f"not checked against shards, which are not prepared here: {', '.join(absent)}"
            )
            unproven += _fewer_shots(record)
    if missing:
        unproven.append(f"counts not computed again: no predictions of {', '.join(missing)}")
    state: State = "reported" if missing else "consistent" if unproven else "verified"
    if reasons:
        state = "refused"
    notes = [*unproven, *settings_checks.superseded(record)]
    return Verdict(
        path, record, state, tuple(map(printable, reasons)), tuple(map(printable, notes))
    )


def _shared_images(record: Record, predictions: Mapping[str, Table]) -> Iterator[str]:
    """Images that are scored among the base and among the new classes of one split."""
    seen: dict[tuple[str, str, str | None], dict[str, str]] = defaultdict(dict)
    for target in record.targets:
        owners = seen[target.dataset, target.split, target.names]
        own = target.key
        keys = predictions[own].keys if own in predictions else ()
        twice = [key for key in keys if owners.get(key, own) != own] if owners else ()
        if twice:
            yield f"{len(twice)} images of {own} are also among {owners[twice[0]]}"
        owners.update(dict.fromkeys(keys, own))


def _fewer_shots(record: Record) -> list[str]:
    """A note on a few-shot subset whose size the card does not prove."""
    number, most = len(record.source.keys), checks.most_keys(record)
    if number == most:
        return []
    return [
        f"{number} few-shot images: {most} unless classes have fewer than {record.source.shots}"
    ]


def judge_all(
    paths: Sequence[Path],
    root: Path | None = None,
    memory: Remembered | None = None,
    reporter: Reporter | None = None,
    then: Then | None = None,
) -> list[Verdict]:
    """The verdicts on many files, in order; see `judge`.

    Args:
        reporter: hears how far it is.
        then: what is asked of records next; other processes, where there are some, find it ahead
            while they have the predictions of a record in memory.
    """
    found, outlines = [], Outlines(memory)
    look = partial(_look, root, then)
    with (reporter or Reporter()).task("verifying", len(paths), "records") as task:
        for path in ahead.over(paths, look, memory, reporter, outlines.knows):
            found.append(judge(path, root, memory, outlines))
            task.advance()
    return found


def _look(root: Path | None, then: Then | None, paths: Sequence[Path], memory: Remembered) -> None:
    outlines = Outlines(memory)
    for path in paths:
        verdict = judge(path, root, memory, outlines)
        if then is not None and verdict.record is not None and verdict.state != "refused":
            then(verdict.record, path.parent, memory)


def once(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts that are not refusals, one for each cell and its numbers: the best state, of several
    that have it those with probabilities, and of these the first."""
    found: dict[cells.Key, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.record is None or verdict.state == "refused":
            continue
        own = found.setdefault(cells.cell_of(verdict.record), [])
        same = [
            i
            for i, v in enumerate(own)
            if v.record and cells.same_numbers(v.record, verdict.record)
        ]
        if not same:
            own.append(verdict)
        elif _says_more(verdict, own[same[0]]):
            own[same[0]] = verdict
    return [verdict for of_cell in found.values() for verdict in of_cell]


def _says_more(verdict: Verdict, other: Verdict) -> bool:
    assert verdict.record is not None and other.record is not None, "refusals are left out"
    if verdict.state != other.state:
        return better(verdict.state, other.state)
    return other.record.labels_only and not verdict.record.labels_only


def better(state: str, other: str) -> bool:
    """Whether a state says more for a record than another one."""
    known: tuple[str, ...] = STATES
    return known.index(state) < known.index(other)


def _predictions(
    record: Record, folder: Path, reasons: list[str]
) -> tuple[list[str], dict[str, Table]]:
    """The targets without predictions, and the others' tables; misfits join `reasons`."""
    missing, found = [], {}
    for target in record.targets:
        try:
            if os.path.exists(predictions_path(target, folder)):  # noqa: PTH110 - also too long ones
                found[target.key] = recompute_target(target, folder)
            else:
                missing.append(target.key)
        except UserError as error:
            reasons.append(str(error))
    return missing, found
