"""index.json: what a prepared dataset must hold, counts, hashes and sizes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from promptbench.data.cards import misnamed
from promptbench.data.web.downloading import LARGEST
from promptbench.errors import UserError, first_problem
from promptbench.storage import reading

FORMAT = "promptbench-shards/1"
MOST_INDEX = 8 * 2**20  # bytes of an index; ImageNet's has 150 kB
MOST_IMAGES = 2**24  # of a split; all of ImageNet's 21,000 classes have 14 million

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
ShardName = Annotated[str, Field(pattern=r"^[a-z]+-[0-9]{6}\.tar$")]  # never a path
SplitName = Annotated[str, Field(pattern="^[a-z]+$")]
Size = Annotated[int, Field(gt=0, le=LARGEST)]  # bytes of a file


class SplitIndex(BaseModel):
    """What a split must hold: samples per label, and sha256 and size per file.

    Older versions wrote no sizes; they say how much of a served file may come, and are not part of
    any digest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_class: list[Annotated[int, Field(ge=0)]]
    shards: dict[ShardName, Sha256]
    manifest: Sha256
    sizes: dict[ShardName, Size] | None = None
    manifest_size: Size | None = None

    @model_validator(mode="after")
    def _sizes_fit(self) -> SplitIndex:
        if self.sizes is not None and self.sizes.keys() != self.shards.keys():
            raise ValueError("sizes has not one size for each of the shards")
        if self.count > MOST_IMAGES:
            raise ValueError(f"per_class counts more than {MOST_IMAGES:,} images")
        return self

    @property
    def count(self) -> int:
        return sum(self.per_class)


class Duplicates(BaseModel):
    """Images that lie in several splits, under several classes; further copies within both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    splits: int = Field(default=0, ge=0)
    classes: int = Field(default=0, ge=0)
    copies: int = Field(default=0, ge=0)


class ShardIndex(BaseModel):
    """index.json; `resize_short` marks a variant whose images were made smaller, `deep` counts the
    grey images that came with more than 8 bits; it and `duplicates` are absent where they are 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = FORMAT
    name: str
    card_version: int
    card_digest: str
    classes: list[str]
    splits: dict[SplitName, SplitIndex]
    resize_short: int | None = None
    duplicates: Duplicates | None = None
    deep: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _counts_fit(self) -> ShardIndex:
        if any(len(split.per_class) != len(self.classes) for split in self.splits.values()):
            raise ValueError("per_class has not one count for each of the classes")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 over the hashes of all files; deep images count, since they were read as white
        when no index had their number."""
        text = "\n".join(
            f"{split} {index.manifest} " + " ".join(index.shards.values())
            for split, index in sorted(self.splits.items())
        )
        text += f"\ndeep {self.deep}" if self.deep else ""
        return hashlib.sha256(text.encode()).hexdigest()

    def size_of(self, name: str) -> int | None:
        """The size of a shard or manifest in bytes, None if the index does not say."""
        for split, index in self.splits.items():
            if name == manifest_name(split):
                return index.manifest_size
            if name in index.shards:
                return (index.sizes or {}).get(name)
        raise KeyError(name)


def manifest_name(split: str) -> str:
    """The file that lists a split."""
    return f"{split}.manifest.csv.gz"


def lies_in(folder: Path) -> bool:
    """Whether a folder holds an index.json.

    Raises:
        UserError: the folder cannot be read.
    """
    return reading.is_file(folder / "index.json", "the index")


def read_index(path: Path, where: str = "") -> ShardIndex:
    """An index.json; `where` is its address, if `path` is only a copy.

    Raises:
        UserError: it is not valid, or cannot be read.
    """
    where = where or str(path)
    try:
        data = _read(path, where)
    except OSError as error:
        raise reading.unreadable(where, "the index", error) from error
    try:
        index = ShardIndex.model_validate_json(data)
    except ValidationError as error:
        problem = first_problem(error, "index")
        raise UserError(f"{where} is damaged: {problem}; prepare the dataset again") from error
    if index.format != FORMAT:
        raise UserError(f"{where} has the format {index.format!r}; this version reads {FORMAT!r}")
    return index


def _read(path: Path, where: str) -> bytes:
    if path.stat().st_size > MOST_INDEX:
        raise UserError(f"{where} is larger than {MOST_INDEX // 2**20} MiB; that is not an index")
    if what := misnamed.described(path, "text"):
        raise UserError(f"{where} is not an index, it is {what}")
    return path.read_bytes()
