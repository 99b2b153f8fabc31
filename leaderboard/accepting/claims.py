"""Which records were recomputed here: a file for each, called by the SHA-256 of the record.

Nothing in or beside a record says so: whoever submits it would say so of himself. Of accepted
results, the files lie in `recomputed/` beside `results/`, where only who keeps the repository
writes; of other records in the user's cache. `promptbench leaderboard verify --recompute` writes
them, again whenever it is asked, and removes one that does not hold any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from promptbench import records as store
from promptbench.data.cards.places import cache_folder
from promptbench.errors import UserError
from promptbench.leaderboard.accepting import standing
from promptbench.leaderboard.checking import places
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.storage import reading
from promptbench.storage.files import write_whole
from promptbench.support.safe_text import printable

FORMAT = "promptbench-recomputed/1"
_MOST = 2**16


def write(path: Path, facts: Mapping[str, Any]) -> Path:
    """Keep that a record was recomputed, with facts of how; return the file."""
    digest = _digest(path)
    file = _file(path, digest)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, "record_sha256": digest, **facts}, indent=1)
    write_whole(file, (text + "\n").encode())
    return file


def withdraw(path: Path) -> None:
    """Forget that a record was recomputed."""
    _file(path, _digest(path)).unlink(missing_ok=True)


def promoted(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts in which records that hold, and that were recomputed, are in this state."""
    return [_promoted(verdict) for verdict in verdicts]


def _promoted(verdict: Verdict) -> Verdict:
    if verdict.record is None or verdict.state not in ("verified", "consistent"):
        return verdict
    facts = _read(_file(verdict.path, digest := _digest(verdict.path)))
    if facts is None or facts.get("record_sha256") != digest:
        return verdict
    how = printable(f"recomputed with promptbench {facts.get('promptbench')}: {facts.get('said')}")
    return replace(verdict, state="recomputed", notes=(*verdict.notes, how))


def _read(file: Path) -> dict[str, Any] | None:
    """The facts of a file; None without one, or of one that is something else."""
    if not file.is_file():
        return None
    try:
        facts = reading.parse_json(reading.read_bytes(file, _MOST, "the file"))
    except (UserError, ValueError):  # a damaged one says nothing
        return None
    return facts if isinstance(facts, dict) and facts.get("format") == FORMAT else None


def _file(path: Path, digest: str) -> Path:
    home = places.recomputed() if standing.stands(path) else cache_folder() / "recomputed"
    return home / f"{digest}.json"


def _digest(path: Path) -> str:
    data = reading.read_bytes(path, store.MOST_BYTES, "the record")
    return hashlib.sha256(data).hexdigest()
