"""Where the learned parameters of a submitted record lie: a file beside it that names a place.

Accepted results hold no learned parameters. `learned.json` names a repository of the Hugging Face
hub, at one commit, and a stranger has written it: what comes from there counts only if it has the
hash that the record holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from promptbench.errors import UserError
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.records import PARAMETERS, Record
from promptbench.sharing import HubPlace, hub_place, learned
from promptbench.sharing.places import COMMIT
from promptbench.storage import reading
from promptbench.support.safe_text import printable

POINTER = "learned.json"
_FORMAT = "promptbench-learned/1"
_MOST = 4096
_MOST_PARAMETERS = 16 * 2**30


def pointers(places: Sequence[str], verdicts: Sequence[Verdict]) -> dict[Path, HubPlace]:
    """Find the records whose learned parameters lie at places, which are downloaded for that.

    Returns:
        The place with its commit, by the path of a record.

    Raises:
        UserError: a place that cannot be used, or whose parameters no record has learned.
    """
    found: dict[Path, HubPlace] = {}
    for text in places:
        place = hub_place(text)
        if place is None:
            raise UserError(f"--learned {printable(text)} is not a place; write hf:user/name")
        at, _, data = learned(place)
        digest = hashlib.sha256(data).hexdigest()
        own = [v for v in verdicts if v.record and v.record.training.parameters_sha256 == digest]
        if not own:
            raise UserError(f"{place} holds what none of these records has learned")
        found |= {verdict.path: at for verdict in own}
    return found


def encoded(place: HubPlace) -> bytes:
    """The pointer to a place."""
    return (json.dumps({"format": _FORMAT, "place": str(place)}, indent=1) + "\n").encode()


def parameters(path: Path, record: Record) -> bytes | None:
    """What the method of a record has learned, from beside it or from where it points to; None if
    it learns nothing.

    Raises:
        UserError: they are nowhere, cannot be downloaded, or are not those of the record.
    """
    held = record.training.parameters_sha256
    if held is None:
        return None
    beside = path.parent / PARAMETERS
    if beside.exists():
        data = reading.read_bytes(beside, _MOST_PARAMETERS, "the learned parameters")
        where = PARAMETERS
    elif (path.parent / POINTER).exists():
        place = _place_in(path.parent / POINTER)
        where = str(place)
        _, _, data = learned(place)
    else:
        raise UserError(
            f"no learned parameters: neither {PARAMETERS} nor a {POINTER} that says where they are "
            "lies beside the record"
        )
    if hashlib.sha256(data).hexdigest() != held:
        raise UserError(f"the learned parameters ({where}) are not those of the record")
    return data


def _place_in(path: Path) -> HubPlace:
    try:
        facts = reading.parse_json(reading.read_bytes(path, _MOST, f"the {POINTER}"))
    except ValueError as error:
        raise UserError(f"{POINTER} is not valid JSON: {error}") from error
    text = facts.get("place") if isinstance(facts, dict) else None
    place = hub_place(text) if isinstance(text, str) and facts.get("format") == _FORMAT else None
    if place is None or not COMMIT.fullmatch(place.revision or ""):
        raise UserError(f"{POINTER} does not name a repository of the hub and a commit of it")
    return place
