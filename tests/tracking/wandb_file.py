"""Reading an offline run file of Weights & Biases back.

Since 0.31 the package has no reader in Python: its Go core writes and syncs these files. The format
is LevelDB's log (blocks of 32 KiB; each fragment has a checksum, a length and a type) after a
header of seven bytes, and each record is a protobuf message; its classes are in `wandb.proto`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _HEADER = 2**15, 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def fragments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of every fragment; a block's tail too short for a header is padding."""
    assert data[:4] == b":W&B"
    at = _HEADER
    while at + _HEADER <= len(data):
        if _BLOCK - at % _BLOCK < _HEADER:
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        yield kind, data[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length


def messages(path: Path) -> list[Any]:
    """All records of a run file."""
    from wandb.proto import wandb_internal_pb2

    found, parts = [], b""
    for kind, payload in fragments(path.read_bytes()):
        assert kind in (_FULL, _FIRST, _MIDDLE, _LAST)
        parts = payload if kind in (_FULL, _FIRST) else parts + payload
        if kind in (_FULL, _LAST):
            message = wandb_internal_pb2.Record()
            message.ParseFromString(parts)
            found.append(message)
    return found


def _items(items: Any) -> dict[str, Any]:
    return {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in items}


def tables(artifact: Any) -> dict[str, Any]:
    """The table that an artifact holds, with the sizes of its images by their paths."""
    (held,) = [e for e in artifact.manifest.contents if e.path.endswith(".table.json")]
    sizes = {e.path: e.size for e in artifact.manifest.contents if e is not held}
    return {**json.loads(Path(held.local_path).read_text()), "sizes": sizes}


def read(path: Path) -> dict[str, Any]:
    """The run, its configuration, history, summary and artifacts, as plain data."""
    kinds: dict[str, list[Any]] = {}
    for message in messages(path):
        kind = message.WhichOneof("record_type")
        kinds.setdefault(kind, []).append(getattr(message, kind))
    run = kinds["run"][0]
    summary: dict[str, Any] = {}
    for each in kinds.get("summary", []):
        summary |= _items(each.update)
    return {
        "id": run.run_id,
        "group": run.run_group,
        "job_type": run.job_type,
        "tags": list(run.tags),
        "config": _items(run.config.update),
        "history": [_items(each.item) for each in kinds.get("history", [])],
        "summary": summary,
        "alerts": [(each.title, each.text, each.level) for each in kinds.get("alert", [])],
        "inputs": {
            each.name: {entry.path: (entry.digest, entry.ref) for entry in each.manifest.contents}
            for each in kinds.get("artifact", [])
            if each.use_after_commit
        },
        "tables": {
            each.name.rpartition("-")[2]: tables(each)
            for each in kinds.get("artifact", [])
            if each.type == "run_table"
        },
        "artifacts": [
            (each.type, [entry.path for entry in each.manifest.contents])
            for each in kinds.get("artifact", [])
        ],
        "exit_code": kinds["exit"][0].exit_code if "exit" in kinds else None,
    }
