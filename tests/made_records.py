"""Records made by hand, for tests of what is made of records."""

from __future__ import annotations

from typing import Any

from promptbench.records import LABELS_ONLY, Record

TARGETS = (("imagenet", "none"), ("dtd", "dataset"), ("eurosat", "dataset"))


def record(seed: int = 1, correct: int = 60, method: str = "mmrlpp", **changes: Any) -> Record:
    """A record of cross_dataset with 100 images per target."""
    targets = [
        {
            "dataset": name,
            "classes": "all",
            "split": "test",
            "shift": shift,
            "correct": [correct + i, 0],
            "total": [90, 10],
            "predictions": f"predictions/{name}-all.csv.gz",
            "predictions_sha256": "0" * 64,
            "seconds": 1.0,
        }
        for i, (name, shift) in enumerate(TARGETS)
    ]
    titles = {
        "mmrlpp": ("MMRL++", "decoupled"),
        "coop": ("CoOp", "end-to-end"),
        "maple": ("MaPLe", "end-to-end"),
        "kgcoop": ("KgCoOp", "end-to-end"),
        "zeroshot": ("CLIP (zero-shot)", "zero-shot"),
    }
    title, paradigm = titles[method]
    facts: dict[str, Any] = {
        "schema_version": LABELS_ONLY,
        "cell_id": "c",
        "training_id": f"t {changes.get('preset', 'paper')}",  # other settings, another training
        "suite": "clip",
        "comparable": True,
        "method": {
            "name": method,
            "title": title,
            "paper": "",
            "paradigm": paradigm,
            "provider": "promptbench",
            "parameters": {},
            "learned_parameters": 0,
        },
        "preset": "paper",
        "overrides": [],
        "inference": "unified",
        "protocol": {"name": "cross_dataset", "version": 1, "selection": "last epoch"},
        "source": {"dataset": "imagenet", "classes": "all", "shots": 16, "keys": []},
        "seed": seed,
        "limit": None,
        "backbone": {
            "name": "ViT-B-16-quickgelu",
            "weights": "openai",
            "sha256": "0" * 64,
            "activation_verified": True,
            "image_size": 224,
        },
        "config": "",
        "config_sha256": "",
        "data": {},
        "training": {
            "recipe": {},
            "epochs": 1,
            "steps": 1,
            "seconds": 1.0,
            "losses": [],
            "parameters_sha256": None,
        },
        "targets": targets,
        "environment": {
            "promptbench": "0",
            "git_revision": None,
            "python": "3",
            "packages": {},
            "platform": "",
            "device": "",
            "precision": "fp32",
            "threads": 1,
            "peak_memory_mb": 1.0,
        },
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Record.model_validate(facts | changes)


def confuse(target: dict[str, Any]) -> None:
    """Make the confusions of a target of schema 2 fit its counts: one wrong label for each."""
    n = len(target["total"])
    wrong = zip(target["correct"], target["total"], strict=True)
    target["confusions"] = {
        f"{label}:{(label + 1) % n}": total - correct
        for label, (correct, total) in enumerate(wrong)
        if total > correct
    }
