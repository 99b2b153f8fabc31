"""Writing one shard: what it will hold, its images checked or made smaller, its note."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from promptbench.data.cards.cards import DataCard
from promptbench.data.cards.listing import keys
from promptbench.data.images import pictures
from promptbench.data.images.formats import RefusedImage, extension_of
from promptbench.data.images.pictures import Picture
from promptbench.data.layouts import ImageSource, Sample
from promptbench.data.shards import shards
from promptbench.data.shards.hashes import Memory, sha256_of
from promptbench.data.shards.parallel import ahead
from promptbench.data.shards.rejections import Rejected, Rejection
from promptbench.storage.files import write_atomically, write_whole
from promptbench.support.progress import Task
from promptbench.support.seeding import generator

Stored = tuple[bytes, str, Picture]


@dataclass(frozen=True)
class WritingOptions:
    """How to write: `resize_short` makes images smaller, `check` decodes each one to its end,
    `allow_duplicates` keeps images that lie in several splits or classes."""

    resize_short: int | None = None
    check: bool = True
    workers: int = 2
    allow_duplicates: bool = False


@dataclass(frozen=True)
class Job:
    """A dataset being written: what, from where, how, and the hidden folder it grows in."""

    card: DataCard
    source: ImageSource
    options: WritingOptions
    partial: Path

    @property
    def finished(self) -> Path:
        return self.partial / "set"

    @property
    def notes(self) -> Path:
        return self.partial / "notes"


@dataclass(frozen=True)
class ShardPlan:
    """What a shard is to hold."""

    name: str
    samples: list[Sample]
    keys: list[str]


def plans_of(job: Job, split: str, samples: Sequence[Sample]) -> list[ShardPlan]:
    """What each shard will hold: the samples in a fixed pseudo-random order."""
    named = keys(samples)
    order = generator(0, "shard-order", job.card.name, split).permutation(len(samples)).tolist()
    size = shards.SAMPLES_PER_SHARD
    return [
        ShardPlan(
            f"{split}-{number:06d}.tar",
            [samples[i] for i in order[start : start + size]],
            [named[i] for i in order[start : start + size]],
        )
        for number, start in enumerate(range(0, len(order), size))
    ]


def is_done(job: Job, plan: ShardPlan) -> bool:
    """Whether a shard is there, with the bytes that its note says and looked at in the same way."""
    tar = job.finished / plan.name
    if not (_note(job, plan).is_file() and tar.is_file()):
        return False
    note = note_of(job, plan)
    same = note.get("checked") == job.options.check
    return bool(same and note["sha256"] == sha256_of(tar))


def note_of(job: Job, plan: ShardPlan) -> dict[str, Any]:
    """What was noted of a finished shard: its "sha256", its "entries", rows of the manifest, the
    "looks" of their images, and whether these were "checked"."""
    note: dict[str, Any] = json.loads(_note(job, plan).read_text(encoding="utf-8"))
    return note


def remember(job: Job, folder: Path, hashes: Mapping[str, str]) -> None:
    """Let runs know the hashes of shards, which lie in their final `folder` now and were hashed
    before their notes were written."""
    memory = Memory(folder)
    for name, sha256 in hashes.items():
        noted = (job.notes / f"{name}.json").stat().st_mtime_ns
        memory.remember(folder / name, sha256, noted)


def _note(job: Job, plan: ShardPlan) -> Path:
    return job.notes / f"{plan.name}.json"


def write_shard(job: Job, plan: ShardPlan, task: Task) -> None:
    """Write a shard, and last its note.

    Raises:
        Rejected: images that cannot be stored, all of this shard; then nothing of it is kept.
        UserError: an image that cannot be read.
    """
    extensions: list[str] = []
    looks: list[Picture] = []
    rejected: list[Rejection] = []
    path = job.finished / plan.name

    import webdataset  # with torch, which whoever only reads shards does not wait for

    def fill(file: IO[bytes]) -> None:
        with webdataset.TarWriter(file, mtime=0, encoder=False) as tar:
            pairs = zip(plan.samples, plan.keys, _ready(job, plan), strict=True)
            for sample, key, ready in pairs:
                task.advance()
                if isinstance(ready, Rejection):
                    rejected.append(ready)
                    continue
                image, extension, seen = ready
                label = str(sample.label).encode()
                tar.write({"__key__": key, extension: image, "cls": label})
                extensions.append(extension)
                looks.append(seen)
        if rejected:
            raise Rejected(rejected)

    write_atomically(path, fill)
    entries = list(_locate(path, plan, extensions))
    note = {
        "sha256": sha256_of(path),
        "entries": entries,
        "looks": [astuple(seen) for seen in looks],
        "checked": job.options.check,
    }
    write_whole(_note(job, plan), json.dumps(note).encode())


def _ready(job: Job, plan: ShardPlan) -> Iterator[Stored | Rejection]:
    """The images of a shard as they will be stored, with their extensions and looks."""
    workers = job.options.workers
    raw = zip(plan.samples, job.source.images(plan.samples, workers), strict=True)
    work = job.options.check or job.options.resize_short
    yield from ahead(partial(_stored, job, plan.name), raw, workers if work else 0)


def _stored(job: Job, shard: str, pair: tuple[Sample, bytes]) -> Stored | Rejection:
    sample, data = pair
    try:
        short = job.options.resize_short
        stored = data if short is None else pictures.shrunk(data, short)
        seen = pictures.look(stored) if job.options.check else pictures.glance(stored)
        if stored is not data:  # it has 8 bits now, whatever it had
            seen = replace(seen, deepest=pictures.deepest(data))
        return stored, extension_of(stored), seen
    except RefusedImage as error:
        return Rejection(sample.name, shard, f"is refused: {error}")
    except pictures.BROKEN as error:
        return Rejection(sample.name, shard, f"is broken: {error}; fix or replace it")


def _locate(
    path: Path, plan: ShardPlan, extensions: Sequence[str]
) -> Iterator[tuple[str, int, str, int, int]]:
    with tarfile.open(path) as tar:
        members = {member.name: member for member in tar.getmembers()}
    for sample, key, extension in zip(plan.samples, plan.keys, extensions, strict=True):
        member = members[f"{key}.{extension}"]
        yield key, sample.label, path.name, member.offset_data, member.size
