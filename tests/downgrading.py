"""Finished cells as they were in schema 1: predictions without probabilities."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Facts = dict[str, Any]


def of_schema_1(path: Path, folder: Path) -> Path:
    """A copy of a cell's folder in `folder`, as schema 1 has it; its record."""

    def change(facts: Facts, lines: list[list[str]]) -> list[list[str]]:
        facts.pop("learned"), facts.pop("confusions")
        return [line[:3] for line in lines]

    return rewritten(path, folder, change, {"schema_version": "promptbench-record/1"})


def rewritten(
    path: Path,
    folder: Path,
    change: Callable[[Facts, list[list[str]]], list[list[str]]],
    facts: Facts | None = None,
) -> Path:
    """A copy of a cell's folder with other rows (with the heading) of each target's predictions."""
    shutil.copytree(path.parent, folder)
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    plain = json.loads(path.read_text()) | (facts or {})
    for target in plain["targets"]:
        file = folder / target["predictions"]
        lines = [line.split(",") for line in gzip.decompress(file.read_bytes()).decode().split()]
        text = "\n".join(",".join(line) for line in change(target, lines)) + "\n"
        file.write_bytes(gzip.compress(text.encode(), mtime=0))
        target["predictions_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / path.name).write_text(json.dumps(plain))
    return folder / path.name
