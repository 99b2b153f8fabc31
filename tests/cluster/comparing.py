"""What two runs left behind, compared: everything but clocks, memory and who computed it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from promptbench import records


def left(out: Path) -> dict[str, Any]:
    """Records without times and hosts; predictions and learned parameters by their bytes."""
    found: dict[str, Any] = {}
    for path in records.find([out]):
        folder = path.parent
        assert records.damage(folder) is None, folder
        facts = json.loads(path.read_bytes())
        facts.pop("created")
        facts["training"].pop("seconds")
        for name in ("peak_memory_mb", "threads"):
            facts["environment"].pop(name)
        clocks = {"seconds": 0, "class_seconds": 0}
        facts["targets"] = [target | clocks for target in facts["targets"]]
        found[f"{facts['cell_id']}/record.json"] = facts
        for other in folder.rglob("*"):
            if other.suffix in (".gz", ".safetensors"):
                found[f"{facts['cell_id']}/{other.relative_to(folder)}"] = other.read_bytes()
    return found


def events(out: Path) -> Counter[tuple[str, str]]:
    """How often each cell was started and ended, by any worker."""
    found: Counter[tuple[str, str]] = Counter()
    for path in out.rglob("log.jsonl"):
        for line in path.read_text().splitlines():
            try:
                found[path.parent.name, json.loads(line)["event"]] += 1
            except ValueError:  # torn by a kill
                continue
    return found


def twice(out: Path) -> list[str]:
    """Cells that ended more than once, so that one of the workers has worked for nothing."""
    return [cell for (cell, event), often in events(out).items() if event == "ended" and often > 1]


def restarts(out: Path) -> int:
    """How often a cell was begun again."""
    return sum(often - 1 for (_, event), often in events(out).items() if event == "started")
