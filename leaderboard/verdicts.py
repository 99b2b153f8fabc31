"""The verdict on a record: verified, reported or refused, each with its reasons.

A record is `verified` if everything that is known here agrees with it and its predictions give its
counts; `reported` if it is valid and no predictions lie beside it; else `refused`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from promptbench.leaderboard import checks, settings_checks, shard_checks

from promptbench import records as store
from promptbench.errors import UserError
from promptbench.records import Record
from promptbench.safe_text import printable
from promptbench.verify import Prediction, predictions_path, recount_target

State = Literal["verified", "reported", "refused"]
MOST_RECORD_BYTES = 4 * 2**20  # ImageNet's few-shot keys take half of one


@dataclass(frozen=True)
class Verdict:
    """What was found out about a record file.

    `record` is None if the file is none; `reasons` speak against it; `notes` say what could not be
    checked.
    """

    path: Path
    record: Record | None
    state: State
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judge(path: Path, root: Path | None = None) -> Verdict:
    """The verdict on one record file; `root` is the data root, if there is one."""
    try:
        if path.stat().st_size > MOST_RECORD_BYTES:
            raise UserError(f"the record is larger than {MOST_RECORD_BYTES // 2**20} MiB")
        record = store.parse(path)  # a change is refused for what it says, not for being one
    except (UserError, OSError) as error:
        return Verdict(path, None, "refused", (printable(str(error)),))
    reasons = checks.refusals(record)
    missing, predictions = _predictions(record, path.parent, reasons)
    notes = list(settings_checks.unchecked(record))
    if not reasons:
        prepared = shard_checks.at_hand(record, root)
        reasons += shard_checks.reasons(record, predictions, prepared)
        absent = sorted(set(record.data) - set(prepared))
        if absent:
            notes.append(f"not checked against shards: {', '.join(absent)} are not prepared here")
    if missing:
        notes.append(f"not recounted: no predictions of {', '.join(missing)}")
    state: State = "refused" if reasons else "reported" if missing else "verified"
    return Verdict(
        path, record, state, tuple(map(printable, reasons)), tuple(map(printable, notes))
    )


def judge_all(paths: Sequence[Path], root: Path | None = None) -> list[Verdict]:
    """The verdicts on many files, in order."""
    return [judge(path, root) for path in paths]


def once(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts that are no refusals, one for each cell and its numbers: a verified one, if any."""
    found: dict[tuple[str, str], Verdict] = {}
    for verdict in verdicts:
        if verdict.record is None or verdict.state == "refused":
            continue
        key = (verdict.record.cell_id, verdict.record.numbers_sha256)
        if key not in found or (found[key].state, verdict.state) == ("reported", "verified"):
            found[key] = verdict
    return list(found.values())


def _predictions(
    record: Record, folder: Path, reasons: list[str]
) -> tuple[list[str], dict[str, list[Prediction]]]:
    """The targets without predictions, and the others' rows; what does not fit joins `reasons`."""
    missing, found = [], {}
    for target in record.targets:
        try:
            if os.path.exists(predictions_path(target, folder)):  # noqa: PTH110 - also too long ones
                found[target.key] = recount_target(target, folder)
            else:
                missing.append(target.key)
        except UserError as error:
            reasons.append(str(error))
    return missing, found
