"""A record that says everything, and the same record with one fact changed."""

from __future__ import annotations

import hashlib
from typing import Any

from promptbench.records import LABELS_ONLY, SCHEMA, Record
from tests.made_records import confuse, record

DATA = {
    name: {"card_version": 1, "card_sha256": "a" * 64, "shards_sha256": "b" * 64}
    for name in ("imagenet", "dtd", "eurosat")
}


def made(seed: int, provider: str = "file 0123456789ab") -> Record:
    """A record that says everything."""
    plain = record(seed, 60 + seed, "coop", data=DATA).model_dump(mode="json")
    plain["method"] |= {"provider": provider, "extra_data": "none", "source_sha256": "c" * 64}
    plain["method"]["parameters"] = {"n_ctx": 16}
    plain["training"] |= {
        "losses": [{"total": 1.0}],
        "recipe": {"lr": 0.002},
        "parameters_sha256": f"{seed}" * 64,
    }
    plain["environment"] |= {"packages": {"torch": "2.1"}, "git_revision": "d" * 40}
    plain["cell_id"] = f"cell{seed}"
    plain["targets"][1]["classes"] = "pair"
    plain["data"]["dtd"]["class_sets"] = {"pair": [0, 1]}
    plain["data"]["dtd"] |= {"class_texts": "texts.json", "class_texts_sha256": "e" * 64}
    plain["schema_version"] = SCHEMA
    plain["training"]["epochs"] = 2
    plain["validation"] = {"keys": ["a", "b"], "images": 2, "per_class": 4, "epoch": 1}
    plain["validation"] |= {"accuracy": [50.0], "seconds": 1.0}
    mend(plain)
    plain["tuning"] = {"budget": 1, "rule": "r", "engine": "e", "space": {"CoOp.n_ctx": {}}}
    plain["tuning"] |= {"space_sha256": "f" * 64, "seeds": [1], "chosen": 1}
    plain["tuning"]["trials"] = [{"values": {}, "validation": 50.0, "cells": ["c"]}]
    for target in plain["targets"]:
        target["learned"] = [0]
        confuse(target)
    return Record.model_validate(plain)


def mend(plain: dict[str, Any], path: str = "") -> None:
    """Let a validation part hold together after one of its facts, or the epochs, was changed."""
    if path == "source.keys_sha256":
        plain["source"]["keys"] = []
    own = plain["validation"]
    if path == "validation.images":
        own["keys"] = [f"{number}" for number in range(own["images"])]
    elif path == "validation.fingerprint":
        own["keys"] = ["c", "d"]
    own["images"] = len(own["keys"])
    own["fingerprint"] = hashlib.sha256("\n".join(own["keys"]).encode()).hexdigest()
    first = 100.0 if path == "validation.images" else own["accuracy"][0]
    own["accuracy"] = [first] * plain["training"]["epochs"]


OTHER: dict[str, Any] = {
    "schema_version": LABELS_ONLY,
    "targets.*.learned": [1],
    "method.name": "maple",
    "method.parameters": {"n_ctx": 4},
    "training.recipe": {"lr": 0.1},
    "environment.packages": {"torch": "2.2"},
    "overrides": ["CoOp.n_ctx = 4"],
    "protocol.name": "domain_generalization",
    "source.dataset": "caltech101",
    "source.classes": "base",
    "source.shots": 8,
    "source.keys_sha256": "f" * 64,
    "suite": "demo",
    "backbone.mean": [0.5, 0.5, 0.5],
    "backbone.std": [0.5, 0.5, 0.5],
    "backbone.interpolation": "bilinear",
    "backbone.resize_mode": "squash",
    "backbone.fill_color": 255,
    "backbone.weights_preset": "remoteclip-vit-b-32",
    "data.*.class_sets": {"pair": [0, 2]},
    "data.*.class_texts_sha256": "f" * 64,
    "targets.*.dataset": "food101",
    "targets.*.classes": "new",
    "targets.*.names": "base",
    "targets.*.shift": "classes",
    "targets.*.total": [91, 10],
    "targets.*.correct": [0, 0],
    "training.losses": [{"total": 2.0}],
    "validation.keys": ["c", "d"],
    "validation.accuracy": [100.0],
    "validation.epoch": 2,
    "tuning.space": {"CoOp.n_ctx": {"choice": [1, 2]}},
    "tuning.space_sha256": "0" * 64,
    "tuning.seeds": [2],
    "tuning.trials": [{"values": {}, "validation": 60.0, "cells": ["c"]}],
    "config": "# other",
}


def changed(original: Record, path: str, value: Any = None) -> Record:
    """The record with another value of one fact; of datasets and targets, of the second one."""
    plain = original.model_dump(mode="json")
    *way, name = path.split(".")
    place = plain
    for step in way:
        place = place[("dtd" if "dtd" in place else 1) if step == "*" else step]
    value = OTHER.get(path) if value is None else value
    if path == "targets.*.confusions":  # they follow from counts
        name, value = "correct", [60, 0]
    place[name] = _other(place[name]) if value is None else value
    assert plain != original.model_dump(mode="json"), path
    mend(plain, path)
    for target in plain["targets"]:
        if path == "schema_version":
            target["learned"] = target["confusions"] = None
        else:
            confuse(target)
    used = {(t["dataset"], t["classes"]) for t in plain["targets"]}
    if ("dtd", "pair") not in used:
        plain["data"]["dtd"]["class_sets"] = None
    if ("food101", "pair") in used:
        plain["data"]["food101"] = plain["data"]["eurosat"] | {"class_sets": {"pair": [0, 1]}}
    return Record.model_validate(plain)


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 7
    return [*value, "x"] if isinstance(value, list) else 7 if value is None else f"{value}x"
