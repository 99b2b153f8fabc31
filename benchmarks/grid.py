"""What the suite costs per cell beyond the model: a run of the demo suite, taken apart.

    python -m benchmarks.grid --method coop --protocol base_to_new

Runs a small grid twice into scratch folders, the second time with all data and features prepared,
and prints one line of JSON: seconds of the second run spent in training and prediction (model,
augmentation and decoding: what `seconds` of the records say) and in everything else (planning,
loading the backbone, configuration, records), per cell.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import promptbench
from promptbench.records import Record


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="coop")
    parser.add_argument("--protocol", default="base_to_new")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--epochs", type=int, default=2)
    return parser.parse_args()


def run(options: argparse.Namespace, out: Path) -> tuple[list[Record], float]:
    settings: dict[str, Any] = {
        "seeds": [int(seed) for seed in options.seeds.split(",")],
        "set": [f"Recipe.epochs={options.epochs}"],
    }
    started = time.perf_counter()
    found = promptbench.run(options.method, options.protocol, out=out, quiet=True, **settings)
    return found, time.perf_counter() - started


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        run(options, Path(scratch) / "first")
        found, total = run(options, Path(scratch) / "second")
    model = sum(r.training.seconds + sum(t.seconds for t in r.targets) for r in found)
    result = {
        "method": options.method,
        "protocol": options.protocol,
        "cells": len(found),
        "seconds": round(total, 2),
        "model_seconds": round(model, 2),
        "overhead_seconds": round(total - model, 2),
        "overhead_per_cell": round((total - model) / len(found), 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
