"""Writing shards: streaming, in parallel, resumable, always the same bytes.

Everything is written into a hidden folder beside the final one, shard by shard; each finished shard
has a note of what it holds. A killed run that is started again keeps the shards whose note and hash
fit. When all are there, the folder gets its final name.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import shutil
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

import webdataset
from filelock import FileLock

from promptbench.data import pictures, shards
from promptbench.data.cards import DataCard
from promptbench.data.layouts import Sample, Source
from promptbench.data.parallel import ahead
from promptbench.data.shards import Entry, ShardIndex, ShardSet, SplitIndex
from promptbench.errors import UserError
from promptbench.progress import Reporter, Task
from promptbench.seeding import generator
from promptbench.storage.files import write_atomically

_LONGEST_KEY = 90  # bytes; a tar header holds 100


@dataclass(frozen=True)
class Options:
    """How to write: `resize_short` makes images smaller, `check` decodes each one to its end."""

    resize_short: int | None = None
    check: bool = True
    workers: int = 2


@dataclass(frozen=True)
class _Job:
    card: DataCard
    source: Source
    options: Options
    partial: Path

    @property
    def finished(self) -> Path:
        return self.partial / "set"

    @property
    def notes(self) -> Path:
        return self.partial / "notes"


def write(
    card: DataCard,
    folder: Path,
    source: Source,
    options: Options,
    listener: Reporter,
    beside: Mapping[str, bytes] | None = None,
) -> ShardSet:
    """Write all splits of a data set; the folder appears at once, when it is complete.

    `beside`: other files that belong into the folder. Several processes may write the same data
    set: one does, the others wait.

    Raises:
        UserError: counts that are not the card's, an image that cannot be read, a full disk.
    """
    listing = {split: list(source.samples(split)) for split in card.splits}
    for split, samples in listing.items():
        _check_listing(card, split, samples)
    job = _Job(card, source, options, folder.parent / f".{folder.name}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not (folder / "index.json").is_file():
                _write_all(job, listing, listener, beside or {})
                job.finished.rename(folder)
            shutil.rmtree(job.partial, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or folder}: {error.strerror or error}; no half-written "
            "data set is left behind, and the same command goes on where it stopped"
        ) from error
    return shards.open_set(card, folder)


def keys(samples: Sequence[Sample]) -> list[str]:
    """Unique keys from names: without the suffix unless it is needed, without dots, short enough.

    Raises:
        UserError: the same name twice.
    """
    stems = [str(PurePosixPath(sample.name).with_suffix("")) for sample in samples]
    several = {stem for stem, count in Counter(stems).items() if count > 1}
    made = [
        _key(sample.name if stem in several else stem)
        for sample, stem in zip(samples, stems, strict=True)
    ]
    twice = [key for key, count in Counter(made).items() if count > 1]
    if twice:
        raise UserError(f"two samples have the key {twice[0]!r}; rename one")
    return made


def _key(name: str) -> str:
    key = name.replace("%", "%25").replace(".", "%2e")
    if len(key.encode()) <= _LONGEST_KEY:
        return key
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{key.encode()[: _LONGEST_KEY - 17].decode(errors='ignore')}-{digest}"


def _check_listing(card: DataCard, split: str, samples: Sequence[Sample]) -> None:
    where = f"{card.name}/{split}"
    odd = [s.name for s in samples if not s.name.isprintable() and _is_no_text(s.name)]
    if odd:
        raise UserError(f"{where}: rename {odd[0]!r}: its name is no UTF-8 text of one line")
    counted = Counter(sample.label for sample in samples)
    strange = [label for label in counted if not 0 <= label < len(card.classes)]
    if strange:
        raise UserError(
            f"{where}: label {strange[0]} is out of range; the card has {len(card.classes)} classes"
        )
    empty = [name for label, name in enumerate(card.classes) if not counted[label]]
    if empty:
        raise UserError(f"{where}: {len(empty)} classes have no image, the first is {empty[0]!r}")
    if len(samples) != card.splits[split]:
        raise UserError(
            f"{where} has {len(samples)} samples, but its card says {card.splits[split]}"
        )


def _is_no_text(name: str) -> bool:
    return any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def _write_all(
    job: _Job,
    listing: Mapping[str, list[Sample]],
    listener: Reporter,
    beside: Mapping[str, bytes],
) -> None:
    _begin(job, listing)
    plans = {split: _plans(job, split, samples) for split, samples in listing.items()}
    pending = [plan for group in plans.values() for plan in group if not _is_done(job, plan)]
    done = sum(len(group) for group in plans.values()) - len(pending)
    if done:
        listener.message(f"{job.card.name}: {done} shards are there already and are kept")
    total = sum(len(plan.samples) for plan in pending)
    with listener.task(f"prepare {job.card.name}", total, "images") as task:
        for plan in pending:
            _write_shard(job, plan, task)
    index = ShardIndex(
        name=job.card.name,
        card_version=job.card.version,
        card_digest=job.card.digest,
        classes=job.card.classes,
        splits={s: _finish_split(job, s, listing[s], plans[s]) for s in listing},
        resize_short=job.options.resize_short,
    )
    text = index.model_dump_json(indent=1, exclude_none=True)
    for name, data in {**beside, "index.json": text.encode()}.items():
        _put(job.finished / name, data)


def _begin(job: _Job, listing: Mapping[str, list[Sample]]) -> None:
    """Keep what an earlier run has written if it was about the same images, else start anew."""
    digest = hashlib.sha256(
        f"{job.card.digest} {job.options.resize_short} {shards.SAMPLES_PER_SHARD}".encode()
    )
    for split, samples in listing.items():
        for sample in samples:
            digest.update(f"{split}\0{sample.name}\0{sample.label}\0{sample.stamp}\n".encode())
    about = job.partial / "about"
    if not about.is_file() or about.read_text(encoding="utf-8") != digest.hexdigest():
        shutil.rmtree(job.partial, ignore_errors=True)
    job.finished.mkdir(parents=True, exist_ok=True)
    job.notes.mkdir(exist_ok=True)
    for left in job.finished.glob(".*"):  # a killed run's unfinished file
        left.unlink()
    _put(about, digest.hexdigest().encode())


def _put(path: Path, data: bytes) -> None:
    write_atomically(path, lambda file: file.write(data))


@dataclass(frozen=True)
class _Plan:
    name: str
    samples: list[Sample]
    keys: list[str]


def _plans(job: _Job, split: str, samples: Sequence[Sample]) -> list[_Plan]:
    """What each shard will hold: the samples in a fixed pseudo-random order."""
    named = keys(samples)
    order = generator(0, "shard-order", job.card.name, split).permutation(len(samples)).tolist()
    size = shards.SAMPLES_PER_SHARD
    return [
        _Plan(
            f"{split}-{number:06d}.tar",
            [samples[i] for i in order[start : start + size]],
            [named[i] for i in order[start : start + size]],
        )
        for number, start in enumerate(range(0, len(order), size))
    ]


def _is_done(job: _Job, plan: _Plan) -> bool:
    note, tar = job.notes / f"{plan.name}.json", job.finished / plan.name
    if not (note.is_file() and tar.is_file()):
        return False
    return bool(json.loads(note.read_text(encoding="utf-8"))["sha256"] == shards.sha256_of(tar))


def _write_shard(job: _Job, plan: _Plan, task: Task) -> None:
    extensions: list[str] = []
    path = job.finished / plan.name

    def fill(file: IO[bytes]) -> None:
        with webdataset.TarWriter(file, mtime=0, encoder=False) as tar:
            pairs = zip(plan.samples, plan.keys, _ready(job, plan), strict=True)
            for sample, key, (image, extension) in pairs:
                label = str(sample.label).encode()
                tar.write({"__key__": key, extension: image, "cls": label})
                extensions.append(extension)
                task.advance()

    write_atomically(path, fill)
    entries = list(_locate(path, plan, extensions))
    note = {"sha256": shards.sha256_of(path), "entries": entries}
    _put(job.notes / f"{plan.name}.json", json.dumps(note).encode())


def _ready(job: _Job, plan: _Plan) -> Iterator[tuple[bytes, str]]:
    """The images of a shard as they will be stored, with their extensions."""
    workers = job.options.workers
    raw = zip(plan.samples, job.source.images(plan.samples, workers), strict=True)
    work = job.options.check or job.options.resize_short
    yield from ahead(partial(_stored, job, plan.name), raw, workers if work else 0)


def _stored(job: _Job, shard: str, pair: tuple[Sample, bytes]) -> tuple[bytes, str]:
    sample, data = pair
    try:
        if job.options.resize_short is not None:
            data = pictures.shrunk(data, job.options.resize_short)
        elif job.options.check:
            pictures.check(data)
        return data, pictures.extension_of(data)
    except pictures.BROKEN as error:
        raise UserError(
            f"{job.card.name}: image {sample.name} (of shard {shard}) is broken: "
            f"{pictures.reason(error)}; mend or replace "
            "it and run the same command again"
        ) from error


def _locate(
    path: Path, plan: _Plan, extensions: Sequence[str]
) -> Iterator[tuple[str, int, str, int, int]]:
    with tarfile.open(path) as tar:
        members = {member.name: member for member in tar.getmembers()}
    for sample, key, extension in zip(plan.samples, plan.keys, extensions, strict=True):
        member = members[f"{key}.{extension}"]
        yield key, sample.label, path.name, member.offset_data, member.size


def _finish_split(
    job: _Job, split: str, samples: Sequence[Sample], plans: Sequence[_Plan]
) -> SplitIndex:
    """The manifest in canonical order, and what the index says of the split."""
    located: dict[str, Entry] = {}
    hashes: dict[str, str] = {}
    for plan in plans:
        note = json.loads((job.notes / f"{plan.name}.json").read_text(encoding="utf-8"))
        hashes[plan.name] = note["sha256"]
        located |= {row[0]: Entry(*row) for row in note["entries"]}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    entries = (located[key] for key in keys(samples))
    rows.writerows((e.key, e.label, e.shard, e.offset, e.size) for e in entries)
    manifest = gzip.compress(text.getvalue().encode(), mtime=0)
    _put(job.finished / shards.manifest_name(split), manifest)
    counted = Counter(sample.label for sample in samples)
    return SplitIndex(
        per_class=[counted[label] for label in range(len(job.card.classes))],
        shards=hashes,
        manifest=hashlib.sha256(manifest).hexdigest(),
    )
