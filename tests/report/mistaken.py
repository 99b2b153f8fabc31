"""Records with predictions made by hand, for tests of what goes wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from promptbench import records as store
from promptbench.data.cards import cards
from promptbench.records import LABELS_ONLY, RECORD, SCHEMA, Record
from promptbench.records import predictions as files
from promptbench.running.predicting import probabilities
from tests.made_records import record

Answer = tuple[np.ndarray[Any, Any], torch.Tensor]  # labels of images, logits


def answers(seed: int, classes: int, each: int, labels: Any = None, spread: float = 2.0) -> Answer:
    """So many images of each class (or of `labels`), and logits that are often wrong."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(classes) if labels is None else np.array(labels), each)
    logits = spread * rng.normal(size=(len(label), classes))
    logits[np.arange(len(label)), label] += spread
    return label, torch.tensor(logits, dtype=torch.float32)


def target_of(
    folder: Path,
    answer: Answer,
    dataset: str = "shapes",
    part: str = "all",
    names: str | None = None,
    learned: list[int] | None = None,
    old: bool = False,
) -> dict[str, Any]:
    """A target's facts, with its predictions in `folder`; `old`: as schema 1 has them."""
    label, logits = answer
    classes = logits.shape[1]
    flags = None if learned is None else torch.tensor(files.flags(classes, learned))
    columns = probabilities.of_logits(logits, torch.tensor(label), flags).numpy()
    kept = probabilities.NAMES + (probabilities.OPEN if learned is not None else ())
    found = dict(zip(kept, columns, strict=True)) | {"label": label}
    found["predicted"] = found["predicted"].astype(np.int64)
    table = files.Table([f"{part}{i:05d}" for i in range(len(label))], found)
    if old:
        table = files.Table(table.keys, {n: found[n] for n in ("label", "predicted")})
    data = files.encoded(table)
    place = folder / "predictions" / f"{dataset}-{part}.csv.gz"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    own = table.answers(classes)
    return {
        "dataset": dataset,
        "classes": part,
        "names": names,
        "split": "test",
        "shift": "none",
        "correct": own.right.tolist(),
        "total": own.total.tolist(),
        "learned": None if old else learned,
        "confusions": None if old else table.labels.confusions(classes),
        "predictions": f"predictions/{place.name}",
        "predictions_sha256": hashlib.sha256(data).hexdigest(),
        "seconds": 1.0,
    }


def written(folder: Path, targets: list[dict[str, Any]], seed: int = 1, **changes: Any) -> Record:
    """Write a record of few_shot on the demo's shapes, or as changed, into a folder of its own."""
    names = dict.fromkeys(target["dataset"] for target in targets)
    data = {
        name: {
            "card_version": 1,
            "card_sha256": cards.load(name).digest,
            "shards_sha256": "0" * 64,
        }
        for name in names
    }
    facts: dict[str, Any] = {
        "cell_id": f"{seed}" * 64,
        "suite": "demo",
        "comparable": False,
        "schema_version": LABELS_ONLY if targets[0]["confusions"] is None else SCHEMA,
        "protocol": {"name": "few_shot", "version": 1, "selection": "last epoch"},
        "source": {"dataset": next(iter(names)), "classes": "all", "shots": 16, "keys": []},
        "targets": targets,
        "data": data,
    }
    made = record(seed, method="coop", **(facts | changes))
    store.write(made, folder / RECORD)
    return made
