"""Data cards: what a dataset is, as a TOML file that everybody can read and check.

Cards come with the package; users' own lie in card folders (`places.card_folders`), which
`promptbench data new` writes to. A card says everything that determines numbers; where the images
of a user's own dataset lie (`source.location`) is kept apart from that.
"""

from __future__ import annotations

import functools
import hashlib
import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from promptbench.data.cards.places import card_folders
from promptbench.errors import UserError, first_problem, unknown
from promptbench.storage import reading

Unknown = Literal["unknown"]
Kind = Literal["generated", "coop", "aircraft", "folder", "csv", "hf", "wds"]


NAME = r"^[a-z0-9_]+$"
_MOST_BYTES = 16 * 2**20  # a card of 21,000 classes takes half of one


class CardSource(BaseModel):
    """Where the images come from; `options` are read only by the layout of this kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    location: str = Field(default="", description="path or URL of a user's own dataset")
    options: dict[str, Any] = Field(default_factory=dict)


class Archive(BaseModel):
    """A file as its owners publish it; what no source says is "unknown".

    For `promptbench data fetch`: `urls` are tried in their order, official ones first. `take` is
    the path inside an archive whose content is wanted; what stands before it are archives inside
    the archive. `gives` is where that lies below the folder of all datasets (without `take`: the
    file itself). `replaces` names files of this card that hold the same, and that this one is
    fetched for when one of them cannot be had.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(min_length=1)
    bytes: int | Unknown
    md5: str = Field(pattern="^([0-9a-f]{32}|unknown)$")
    sha256: str = Field(pattern="^([0-9a-f]{64}|unknown)$")
    git_blob: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")
    remark: str = ""
    urls: list[Annotated[str, Field(pattern=r"^https?://[^\s/]+/\S+$")]] = Field(
        default_factory=list
    )
    take: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    gives: str = ""
    replaces: list[str] = Field(default_factory=list)

    @field_validator("file")
    @classmethod
    def _is_a_name(cls, file: str) -> str:
        if file in (".", "..") or not re.fullmatch(r"[\w.][\w.+ -]*", file):
            raise ValueError(f"{file!r} is not the name of a file")
        return file

    @field_validator("gives")
    @classmethod
    def _stays_below(cls, gives: str) -> str:
        parts = PurePosixPath(gives).parts
        if gives and (gives.startswith("/") or ".." in parts or not parts or "\\" in gives):
            raise ValueError(f"{gives!r} is not a path below the folder of all datasets")
        return gives


class DataCard(BaseModel):
    """A dataset: class names in label order, prompt template, splits and source.

    `repeated_names`: class names that occur more than once on purpose. `fingerprints`: per seed
    ("seed_1"), the SHA-256 of the field's 16-shot training subset (paths in sampled order, one a
    line). `usual_metric` is the one in which the dataset's own literature (or CLIP's paper) prints
    numbers, where that is not accuracy; it moves no number, and is not part of the digest.
    `class_texts` names a file of sentences per class beside the card (`data/class_texts.py`), for
    methods that use them; it is not part of the digest either, since their cells hold its hash.
    `asks_consent`: the licence binds whoever uses the images, who is asked before they are fetched.
    `layout` describes the folder that `promptbench data prepare` reads, `obtain` where its
    parts come from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME)
    title: str
    suite: str
    version: int = Field(ge=1)
    template: str
    description: str
    licence: str
    licence_source: str = "unknown"
    asks_consent: bool = False
    citation: str
    obtain: list[str] = Field(default_factory=list)
    layout: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    repeated_names: list[str] = Field(default_factory=list)
    usual_metric: str | None = Field(default=None, pattern=NAME)
    class_texts: str | None = Field(default=None, pattern=r"^[\w.-]+\.json$")
    classes: list[str] = Field(min_length=2)
    splits: dict[str, int]
    archives: list[Archive] = Field(default_factory=list)
    fingerprints: dict[str, str] = Field(default_factory=dict)
    source: CardSource

    @field_validator("template")
    @classmethod
    def _one_place_for_the_name(cls, template: str) -> str:
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(template)]
        except ValueError as error:
            raise ValueError(f"{template!r} is not a template: {error}") from error
        if [field for field in fields if field is not None] != [""]:
            raise ValueError(f"{template!r} must have one {{}}, for the class name, and no other")
        return template

    @field_validator("classes")
    @classmethod
    def _names_can_be_spoken(cls, classes: list[str]) -> list[str]:
        for label, name in enumerate(classes):
            if not name.strip(" _") or name != name.strip() or not name.isprintable():
                raise ValueError(
                    f"the name of class {label}, {name!r}, is empty, has spaces at its ends or "
                    "characters that cannot be printed"
                )
        return classes

    @model_validator(mode="after")
    def _consistent(self) -> DataCard:
        if "test" not in self.splits:
            raise ValueError("splits must name a test split")
        if not self.splits.keys() <= {"train", "val", "test"}:
            raise ValueError(f"splits are train, val and test, not {', '.join(self.splits)}")
        for split, count in self.splits.items():
            if count < len(self.classes):
                raise ValueError(
                    f"{count} images in {split} cannot cover {len(self.classes)} classes"
                )
        said = Counter(name.replace("_", " ") for name in self.classes)
        twice = sorted(name for name, count in said.items() if count > 1)
        if twice != sorted(self.repeated_names):
            raise ValueError(
                f"class names that read the same: {', '.join(twice) or 'none'}; if that is meant, "
                f"repeated_names must list them (it says {self.repeated_names})"
            )
        return self

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of everything on the card that determines numbers."""
        facts = self.model_dump_json(
            include={
                "name": True,
                "version": True,
                "template": True,
                "classes": True,
                "splits": True,
                "source": {"kind", "options"},
            }
        )
        return hashlib.sha256(facts.encode()).hexdigest()


def names() -> list[str]:
    """All datasets that have a card."""
    return sorted(_files())


def generated() -> frozenset[str]:
    """The datasets whose images are generated; no user's own are."""
    return _stems(packaged() / "demo")


@functools.cache
def _stems(folder: Path) -> frozenset[str]:
    return frozenset(path.stem for path in folder.glob("*.toml"))


def load(name: str) -> DataCard:
    """The card of a dataset.

    Raises:
        UserError: unknown name, or a card that is not as it must be (file and key).
    """
    files = _files()
    if name not in files:
        raise unknown("dataset", name, files, "`promptbench data new` writes a card")
    card = read(files[name])
    if card.name != name:
        raise UserError(f"data card {files[name]}: name is {card.name!r}, its file says {name!r}")
    return card


def class_names(name: str) -> tuple[str, ...]:
    """Return the class names of a dataset, in label order.

    Raises:
        UserError: as `load`.
    """
    return tuple(load(name).classes)


def read(path: Path) -> DataCard:
    """A card from a file."""
    return _parsed(reading.read_text(path, _MOST_BYTES, "the data card"), path)


@functools.lru_cache(maxsize=64)  # by the text: a card that changed is parsed again
def _parsed(text: str, path: Path) -> DataCard:
    try:
        facts = reading.parse_toml(text)
    except ValueError as error:
        raise UserError(f"data card {path} is not valid TOML: {error}") from error
    try:
        return DataCard.model_validate(facts)
    except ValidationError as error:
        raise UserError(f"data card {path}: {first_problem(error, 'card')}") from error


def packaged() -> Path:
    """The folder of the cards that come with promptbench."""
    return _home()


@functools.cache
def _home() -> Path:
    return Path(str(resources.files("promptbench.data_cards")))


def is_packaged(name: str) -> bool:
    """Whether a card comes with promptbench, so that its splits are published ones."""
    path = _files().get(name)
    return path is not None and path.is_relative_to(packaged())


def _files() -> dict[str, Path]:
    found = dict(_below(packaged()))
    for folder in card_folders():
        _add(found, sorted(folder.glob("*.toml")))
    return found


@functools.cache
def _below(folder: Path) -> Mapping[str, Path]:
    found: dict[str, Path] = {}
    _add(found, sorted(folder.glob("**/*.toml")))
    return found


def _add(found: dict[str, Path], paths: Iterable[Path]) -> None:
    """Add cards by the names of their datasets."""
    for path in paths:
        other = found.setdefault(path.stem, path)
        if other is not path and other.resolve() != path.resolve():
            raise UserError(
                f"two cards describe a dataset {path.stem!r}: {other} and {path}; rename one"
            )


def path_of(name: str) -> Path:
    """The file of a card."""
    return _files()[name]
