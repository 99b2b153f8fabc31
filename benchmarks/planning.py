"""What planning costs: whole commands that plan the field's suite, on datasets that are empty.

    python -m benchmarks.planning

Writes the index of every dataset of the suite (no images) and a file in place of the weights into
a scratch folder, and runs `promptbench plan --no-timing` for all methods, protocols and seeds in
processes of their own. Prints one line of JSON: cells, and the least CPU seconds (user and system)
and wall-clock seconds of the commands; `import_torch` is what a process takes that only imports
torch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from promptbench.data.cards import cards
from promptbench.data.shards.index import ShardIndex, SplitIndex

SUITE = "clip"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    return parser.parse_args()


def write_indices(root: Path, suite: str = SUITE) -> list[str]:
    """The index of every dataset of a suite, as if each split were one shard."""
    sha256 = hashlib.sha256(b"").hexdigest()
    own = [card for card in map(cards.load, cards.names()) if card.suite == suite]
    for card in own:
        splits = {}
        for split, count in card.splits.items():
            each, more = divmod(count, len(card.classes))
            per_class = [each + (label < more) for label in range(len(card.classes))]
            shards = {f"{split}-000000.tar": sha256}
            splits[split] = SplitIndex(per_class=per_class, shards=shards, manifest=sha256)
        index = ShardIndex(
            name=card.name,
            card_version=card.version,
            card_digest=card.digest,
            classes=card.classes,
            splits=splits,
        )
        (root / card.name).mkdir(parents=True)
        (root / card.name / "index.json").write_text(index.model_dump_json())
    return [card.name for card in own]


def cost(command: list[str], folder: Path) -> tuple[float, float, str]:
    """CPU and wall-clock seconds of a command, and what it prints."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, seconds, done.stdout


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        names = write_indices(folder / "data")
        (folder / "weights.bin").write_bytes(b"no weights")
        plan = ["plan", "--method", "all", "--protocol", "all", "--seeds", "1,2,3", "--no-timing"]
        where = ["--suite", SUITE, "--data", "data", "--weights", "weights.bin"]
        command = [sys.executable, "-m", "promptbench.cli", *plan, *where]
        measured = [cost(command, folder) for _ in range(options.times)]
        imports = [cost([sys.executable, "-c", "import torch"], folder) for _ in measured]
    cells = re.search(r"^([\d,]+) cells", measured[0][2], re.MULTILINE)
    result = {
        "datasets": len(names),
        "cells": cells and cells[1],
        "cpu_seconds": round(min(cpu for cpu, _, _ in measured), 2),
        "seconds": round(min(seconds for _, seconds, _ in measured), 2),
        "import_torch": round(min(cpu for cpu, _, _ in imports), 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
