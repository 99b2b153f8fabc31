"""A record of 50,000 predictions over 1,000 classes: its bytes, and seconds to write and validate.

    python -m benchmarks.record

Logits are drawn, with an accuracy of about two thirds and confidences as CLIP has them; keys are
those of prepared datasets. `closed`: one target, of 16 shots of all classes. `open`: base and new
classes over all names, with the mass on base names; 16 shots of the base half. Writing begins with
the kept columns and ends with the record and its SHA256SUMS; validating reads the record, checks
hashes and computes counts and confusions again, as `promptbench validate` does; `metrics` computes
every built-in metric as a table does. Seconds are those of the processor, of this thread. Prints
one line of JSON for each.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from promptbench import records
from promptbench.core.pooling import learned_places
from promptbench.core.protocol import Source, Target
from promptbench.core.registry import METRICS
from promptbench.records import Record, scores, verify
from promptbench.records.predictions import Table, encoded
from promptbench.running.predicting import probabilities
from tests.made_records import record

CLASSES, EACH, SHOTS = 1000, 50, 16
TARGETS = {
    "closed": (Target("imagenet", "all", "none"),),
    "open": (
        Target("imagenet", "base", "none", names="all"),
        Target("imagenet", "new", "classes", names="all"),
    ),
}


def main() -> None:
    for kind, targets in TARGETS.items():
        print(json.dumps({"kind": kind, **measured(targets)}, sort_keys=True))


def measured(targets: tuple[Target, ...]) -> dict[str, Any]:
    source = Source("imagenet", "base" if len(targets) > 1 else "all", SHOTS)
    drawn = [(t, *table_of(t, learned_places(source, t, CLASSES))) for t in targets]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.process_time()
        made = written(source, drawn, folder)
        wrote = time.process_time()
        again = records.read(folder / records.RECORD)
        verify.check_files(again, folder)
        verify.recompute(again, folder)
        validated = time.process_time()
        places = scores.folders_of([(again, folder)])
        for scorer in scores.together(scores.load_all(METRICS.names()), places):
            scorer.score(again)
        sizes = {p.name: p.stat().st_size for p in folder.rglob("*") if p.is_file()}
        ended = time.process_time()
    images = sum(sum(t.total) for t in made.targets)
    return {
        "images": images,
        "accuracy": round(sum(sum(t.correct) for t in made.targets) / images, 3),
        "bytes": sum(sizes.values()),
        "record": sizes[records.RECORD],
        "write": round(wrote - started, 2),
        "validate": round(validated - wrote, 2),
        "metrics": round(ended - validated, 2),
    }


def table_of(target: Target, learned: list[int] | None) -> tuple[Table, list[int] | None]:
    """What a pass over a target's images keeps."""
    rng, labels = np.random.default_rng(0), np.array(target.labels_in(CLASSES))
    label = np.repeat(labels, EACH)
    number = np.tile(np.arange(EACH), len(labels))
    order = rng.permutation(len(label))
    keys = [f"{label[i]:04d}_{number[i]:05d}" for i in order]
    competing = target.competing_in(CLASSES)
    flags = None
    if learned is not None:
        flags = torch.zeros(len(competing), dtype=torch.bool)
        flags[learned] = True
    columns = []
    for part in np.array_split(label[order], 100):
        logits = 2.6 * rng.normal(size=(len(part), len(competing)))
        logits[np.arange(len(part)), part] += 10 + 3 * rng.normal(size=len(part))
        given = torch.tensor(logits, dtype=torch.float32), torch.tensor(part)
        columns.append(probabilities.of_logits(*given, flags).numpy())
    found = dict(
        zip(probabilities.NAMES + probabilities.OPEN, np.concatenate(columns, axis=1), strict=False)
    )
    found |= {"label": label[order], "predicted": found["predicted"].astype(np.int64)}
    return Table(keys, found), learned


def written(
    source: Source, drawn: list[tuple[Target, Table, list[int] | None]], folder: Path
) -> Record:
    made = record().model_dump(mode="json") | {"schema_version": records.SCHEMA, "targets": []}
    (folder / "predictions").mkdir()
    for target, table, learned in drawn:
        name = f"predictions/{target.key.replace('/', '-')}.csv.gz"
        data, found = encoded(table), table.answers(CLASSES)
        (folder / name).write_bytes(data)
        made["targets"].append(
            {
                "dataset": target.dataset,
                "classes": target.classes,
                "names": target.names,
                "split": target.split,
                "shift": target.shift,
                "correct": found.right.tolist(),
                "total": found.total.tolist(),
                "learned": learned,
                "confusions": table.labels.confusions(CLASSES),
                "predictions": name,
                "predictions_sha256": hashlib.sha256(data).hexdigest(),
                "seconds": 1.0,
            }
        )
    keys = [f"{c:04d}_{n:05d}" for c in source.labels_in(CLASSES) for n in range(SHOTS)]
    made["source"] |= {"classes": source.classes, "keys": keys}
    found_record = Record.model_validate(made)
    records.finish(found_record, folder)
    return found_record


if __name__ == "__main__":
    main()
