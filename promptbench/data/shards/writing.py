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
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptbench.data.cards import listing, survey
from promptbench.data.cards.cards import DataCard
from promptbench.data.cards.survey import SeenImage
from promptbench.data.images.pictures import Picture
from promptbench.data.layouts import ImageSource, Sample
from promptbench.data.shards import shards
from promptbench.data.shards.index import Duplicates
from promptbench.data.shards.rejections import Rejected, Rejection, error_for
from promptbench.data.shards.shard_writing import (
    Job,
    ShardPlan,
    WritingOptions,
    is_done,
    note_of,
    plans_of,
    remember,
    write_shard,
)
from promptbench.data.shards.shards import Entry, ShardIndex, ShardSet, SplitIndex
from promptbench.errors import RunError, UserError
from promptbench.storage import leases
from promptbench.storage.files import write_whole
from promptbench.support.progress import Reporter


def write(
    card: DataCard,
    folder: Path,
    source: ImageSource,
    options: WritingOptions,
    listener: Reporter,
    beside: Mapping[str, bytes] | None = None,
) -> ShardSet:
    """Write all splits of a dataset; the folder appears at once, when it is complete.

    `beside`: other files that belong into the folder. Several processes may write the same dataset
    : one does, the others wait.

    Raises:
        UserError: counts that are not the card's, an image that cannot be read, one that lies in
            several splits or classes unless that is allowed, a full disk; a process that was
            suspended for so long that another one writes the dataset now.
    """
    listed = {split: list(source.samples(split)) for split in card.splits}
    for split, samples in listed.items():
        listing.check(card, split, samples)
    job = Job(card, source, options, folder.parent / f".{folder.name}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with leases.held(_lease_of(folder)):
            if not (folder / "index.json").is_file():
                _write_all(job, listed, listener, beside or {})
                leases.refuse_lost(folder.parent)
                job.finished.rename(folder)
                for index in shards.open_set(card, folder).index.splits.values():
                    remember(job, folder, index.shards)
            shutil.rmtree(job.partial, ignore_errors=True)
    except leases.LeaseLost as lost:
        raise RunError(f"{card.name}: {lost}; the same command waits for it") from lost
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or folder}: {error.strerror or error}; no half-written "
            "dataset is left behind, and the same command goes on where it stopped"
        ) from error
    return shards.open_set(card, folder)


def _lease_of(folder: Path) -> Path:
    """The lease of whoever writes a dataset, on this machine or on another one."""
    return leases.place(folder.parent, "data", hashlib.sha256(folder.name.encode()).hexdigest())


def _write_all(
    job: Job,
    listed: Mapping[str, list[Sample]],
    listener: Reporter,
    beside: Mapping[str, bytes],
) -> None:
    _begin(job, listed)
    plans = {split: plans_of(job, split, samples) for split, samples in listed.items()}
    pending = [plan for group in plans.values() for plan in group if not is_done(job, plan)]
    done = sum(len(group) for group in plans.values()) - len(pending)
    if done:
        listener.message(f"{job.card.name}: {done} shards are there already and are kept")
    total = sum(len(plan.samples) for plan in pending)
    rejected: list[Rejection] = []
    with listener.task(f"prepare {job.card.name}", total, "images") as task:
        for plan in pending:
            leases.refuse_lost(job.partial.parent)
            try:
                write_shard(job, plan, task)
            except Rejected as shard:
                if not rejected:
                    first = shard.images[0]
                    listener.message(
                        f"{job.card.name}: image {first.name} {first.why}. The other images are "
                        "looked at all the same, so that all that are wrong can be named"
                    )
                rejected += shard.images
    if rejected:
        raise error_for(job.card.name, rejected)
    finished = {split: _finish_split(job, split, listed[split], plans[split]) for split in listed}
    classes = job.card.classes
    found = survey.survey(seen for _, images in finished.values() for seen in images)
    survey.check(found, job.card.name, classes, job.options.allow_duplicates, listener)
    index = ShardIndex(
        name=job.card.name,
        card_version=job.card.version,
        card_digest=job.card.digest,
        classes=classes,
        splits={split: index for split, (index, _) in finished.items()},
        resize_short=job.options.resize_short,
        duplicates=found.duplicates if found.duplicates != Duplicates() else None,
        deep=found.deep or None,
    )
    text = index.model_dump_json(indent=1, exclude_none=True)
    for name, data in {**beside, "index.json": text.encode()}.items():
        write_whole(job.finished / name, data)


def _begin(job: Job, listed: Mapping[str, list[Sample]]) -> None:
    """Keep what an earlier run has written if it was about the same images, else start again."""
    digest = hashlib.sha256(
        f"{job.card.digest} {job.options.resize_short} {shards.SAMPLES_PER_SHARD}".encode()
    )
    for split, samples in listed.items():
        for sample in samples:
            digest.update(f"{split}\0{sample.name}\0{sample.label}\0{sample.stamp}\n".encode())
    about = job.partial / "about"
    if not about.is_file() or about.read_text(encoding="utf-8") != digest.hexdigest():
        shutil.rmtree(job.partial, ignore_errors=True)
    job.finished.mkdir(parents=True, exist_ok=True)
    job.notes.mkdir(exist_ok=True)
    for left in job.finished.glob(".*"):  # a killed run's unfinished file
        left.unlink()
    write_whole(about, digest.hexdigest().encode())


def _finish_split(
    job: Job, split: str, samples: Sequence[Sample], plans: Sequence[ShardPlan]
) -> tuple[SplitIndex, list[SeenImage]]:
    """The manifest in canonical order; what the index says of the split, and its images' looks."""
    located: dict[str, Entry] = {}
    looks: dict[str, Picture] = {}
    hashes: dict[str, str] = {}
    for plan in plans:
        note = note_of(job, plan)
        hashes[plan.name] = note["sha256"]
        located |= {row[0]: Entry(*row) for row in note["entries"]}
        looks |= {key: _look(row) for key, row in zip(plan.keys, note["looks"], strict=True)}
    keys = listing.keys(samples)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    entries = (located[key] for key in keys)
    rows.writerows((e.key, e.label, e.shard, e.offset, e.size) for e in entries)
    manifest = gzip.compress(text.getvalue().encode(), mtime=0)
    write_whole(job.finished / shards.manifest_name(split), manifest)
    sizes = {plan.name: (job.finished / plan.name).stat().st_size for plan in plans}
    counted = Counter(sample.label for sample in samples)
    index = SplitIndex(
        per_class=[counted[label] for label in range(len(job.card.classes))],
        shards=hashes,
        manifest=hashlib.sha256(manifest).hexdigest(),
        sizes=sizes,
        manifest_size=len(manifest),
    )
    named = zip(samples, keys, strict=True)
    return index, [SeenImage(split, sample.label, sample.name, looks[key]) for sample, key in named]


def _look(row: list[Any]) -> Picture:
    """A look as a note keeps it."""
    identity, deepest, flat = row
    return Picture(identity, deepest, flat and tuple(flat))
