"""Data cards: what a data set is, as a TOML file that everybody can read and check."""

from __future__ import annotations

import hashlib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from promptbench.errors import UserError, unknown


class CardSource(BaseModel):
    """Where the images come from; `options` are read by the layout of this kind alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["generated"]
    options: dict[str, Any] = Field(default_factory=dict)


class DataCard(BaseModel):
    """A data set: class names in label order, prompt template, splits and source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    suite: str
    version: int = Field(ge=1)
    template: str
    description: str
    licence: str
    citation: str
    notes: list[str] = Field(default_factory=list)
    classes: list[str] = Field(min_length=2)
    splits: dict[str, int]
    source: CardSource

    @model_validator(mode="after")
    def _consistent(self) -> DataCard:
        if "{}" not in self.template:
            raise ValueError("template has no {} for the class name")
        if "test" not in self.splits:
            raise ValueError("splits must name a test split")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of everything on the card that determines numbers."""
        facts = self.model_dump_json(
            include={"name", "version", "template", "classes", "splits", "source"}
        )
        return hashlib.sha256(facts.encode()).hexdigest()


def names() -> list[str]:
    """All data sets that have a card."""
    return sorted(_files())


def load(name: str) -> DataCard:
    """The card of a data set.

    Raises:
        UserError: unknown name, or a card that is not as it must be (file and key).
    """
    files = _files()
    if name not in files:
        raise unknown("data set", name, files, "no data card of that name")
    return read(files[name])


def read(path: Path) -> DataCard:
    """A card from a file."""
    try:
        return DataCard.model_validate(tomllib.loads(path.read_text()))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"data card {path} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "card"
        raise UserError(f"data card {path}: {key}: {first['msg']}") from error


def _files() -> dict[str, Path]:
    folder = Path(str(resources.files("promptbench.data_cards")))
    return {path.stem: path for path in sorted(folder.glob("**/*.toml"))}
