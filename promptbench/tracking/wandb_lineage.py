"""Artifacts of Weights & Biases that say what a cell has used and what it has left behind.

Inputs are references with the hashes that records hold: no image and no weight is sent. Two cells
that have used the same bytes have the same version of an artifact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptbench import records
from promptbench.data.cards import cards
from promptbench.records import subset

if TYPE_CHECKING:
    from promptbench.records import DataInfo, Record


@dataclass(frozen=True)
class Input:
    """An artifact that a cell has used: its name, its type, what it consists of by name with the
    SHA-256 of each, and what else is known of it."""

    name: str
    type: str
    sha256: Mapping[str, str]
    metadata: Mapping[str, Any]


def inputs(record: Record) -> list[Input]:
    """The datasets and the weights of a record."""
    backbone = record.backbone
    weights = Input(
        _name(f"weights-{backbone.name}-{backbone.weights}"),
        "model",
        {"weights": backbone.sha256},
        {"backbone": backbone.name, "weights": backbone.weights},
    )
    return [*(_dataset(name, info) for name, info in record.data.items()), weights]


def _dataset(name: str, info: DataInfo) -> Input:
    hashes = {"card": info.card_sha256, "shards": info.shards_sha256}
    if info.class_texts_sha256 is not None:
        hashes["class_texts"] = info.class_texts_sha256
    metadata: dict[str, Any] = {"dataset": name, "card_version": info.card_version}
    if info.resize_short is not None:
        metadata["resize_short"] = info.resize_short
    if name in cards.names() and (card := cards.load(name)).digest == info.card_sha256:
        metadata["licence"] = card.licence
    return Input(_name(f"dataset-{name}"), "dataset", hashes, metadata)


def use(wandb: Any, run: Any, record: Record) -> None:
    """Declare what a cell has used as inputs of its run.

    `Run.use_artifact` refuses to do so offline, and online it waits for the service; what it calls
    does neither.
    """
    from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

    for each in inputs(record):
        artifact = wandb.Artifact(each.name, type=each.type, metadata=dict(each.metadata))
        for part, digest in each.sha256.items():
            ref = f"promptbench://{each.type}/{each.name}/{part}?sha256={digest}"
            entry = ArtifactManifestEntry(path=part, digest=digest, ref=ref, size=0)
            artifact.manifest.add_entry(entry)
        run._log_artifact(artifact, is_user_created=True, use_after_commit=True)


def leave(wandb: Any, run: Any, record: Record, folder: Path, numbers_only: bool) -> None:
    """Log a record, its configuration and, unless there is to be no more than numbers, what was
    learned as the output of its run."""
    known = {
        "cell_id": record.cell_id,
        "numbers_sha256": record.numbers_sha256,
        "method": record.method.name,
        "protocol": record.protocol.name,
        "seed": record.seed,
    }
    artifact = wandb.Artifact(f"cell-{record.cell_id[:24]}", type="cell", metadata=known)
    artifact.add_file(str(folder / records.RECORD))
    if (folder / subset.FILE).is_file():
        artifact.add_file(str(folder / subset.FILE))
    with artifact.new_file("config.gin") as file:
        file.write(record.config)
    learned = folder / records.PARAMETERS
    if learned.is_file() and not numbers_only:
        artifact.add_file(str(learned))
    run.log_artifact(artifact)


def _name(text: str) -> str:
    """A name of characters that the service takes."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII)[:128]
