"""Class texts: sentences about classes in a JSON file, {"class name": ["sentence", ...], ...}.

It is the layout in which CuPL, CoPrompt and HiCroPL publish theirs. A class is looked up by its
name as the dataset's card has it, where `_` and a space are the same; nothing else is guessed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptbench.errors import UserError, closest
from promptbench.storage import reading
from promptbench.support.safe_text import shortened

SUFFIX = ".json"
_OF_DATASET = re.compile(r"([a-z0-9_]+)=(.+)", re.DOTALL)
_MOST_BYTES = 256 * 2**20  # 50 sentences for each of ImageNet-21k's classes take a hundred
_BOM = b"\xef\xbb\xbf"  # before UTF-8 as some editors save it; it means nothing
_SHOWN = 3  # classes in a message


@dataclass(frozen=True)
class ClassTexts:
    """The sentences of a file, and which file it is.

    Args:
        file: its name, without the folders that it lies in.
        sha256: of its bytes.
        sentences: by class name with spaces for underscores; empty where only the file is known.
    """

    file: str
    sha256: str
    sentences: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def of(self, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """The sentences of each of the classes, [n_classes][one or more].

        Raises:
            UserError: classes of which the file says nothing, with what it has that comes near.
        """
        missing = [name for name in dict.fromkeys(names) if _spoken(name) not in self.sentences]
        if missing:
            more = f"; and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            shown = "; ".join(map(self._about_missing, missing[:_SHOWN]))
            number = "a class" if len(missing) == 1 else f"{len(missing)} classes"
            raise UserError(f"{self.file} has no text for {number}: {shown}{more}")
        return tuple(self.sentences[_spoken(name)] for name in names)

    def _about_missing(self, name: str) -> str:
        near = closest(name, self.sentences)
        hint = f" (it has {' and '.join(map(repr, near))})" if near else ""
        return repr(shortened(name)) + hint


def read(path: Path) -> ClassTexts:
    """Read a file of class texts.

    Raises:
        UserError: it cannot be read or does not have this layout; with the file, and with the line
            or the class at fault.
    """
    data = reading.read_bytes(path, _MOST_BYTES, "the class texts")
    try:
        sentences = _checked(reading.parse_json(data.removeprefix(_BOM)))
    except json.JSONDecodeError as error:
        raise UserError(
            f"class texts {path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})"
        ) from error
    except ValueError as error:
        raise UserError(f"class texts {path}: {error}") from error
    return ClassTexts(path.name, hashlib.sha256(data).hexdigest(), sentences)


def parted(given: str) -> tuple[str, Path]:
    """What is given as DATASET=FILE or as a path: the dataset, or "" for all of them, and the
    path."""
    named = _OF_DATASET.fullmatch(given)
    dataset, path = (named[1], named[2]) if named else ("", given)
    return dataset, Path(path).expanduser()


def joined(dataset: str, path: Path) -> str:
    """The opposite of `parted`, which does not take a path for anything else."""
    return f"{dataset}={path}" if dataset else f"{path.absolute()}"


def _checked(found: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(found, dict):
        raise ValueError('it must be one JSON object, {"class name": ["sentence", ...], ...}')
    if not found:
        raise ValueError("it holds no class")
    sentences: dict[str, tuple[str, ...]] = {}
    for name, texts in found.items():
        called = repr(shortened(name))
        if _spoken(name) in sentences:
            raise ValueError(f"the class {called} is there twice, with spaces and underscores")
        if not isinstance(texts, list):
            raise ValueError(f"the class {called} must have a list of sentences")
        if not texts:
            raise ValueError(f"the class {called} has an empty list: give it a sentence")
        for number, text in enumerate(texts, 1):
            if problem := _problem(text):
                raise ValueError(f"the class {called}: sentence {number} {problem}")
        sentences[_spoken(name)] = tuple(texts)
    return sentences


def _problem(text: Any) -> str:
    if not isinstance(text, str):
        return f"is not text, but {shortened(json.dumps(text), 40)}"
    if not text.strip():
        return "is empty"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate), which no tokenizer reads"
    return ""


def _spoken(name: str) -> str:
    return name.replace("_", " ")
