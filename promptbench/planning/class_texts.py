"""Which sentences about classes a plan's methods are given: those of a file that the user names, or
of one that a dataset's card names."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptbench.core.protocol import Leg
from promptbench.data import class_texts
from promptbench.data.cards import cards
from promptbench.data.cards.places import cache_folder
from promptbench.data.class_texts import SUFFIX, ClassTexts, joined, parted
from promptbench.errors import UserError, unknown
from promptbench.planning.legs import names_used
from promptbench.storage import remembered
from promptbench.support.safe_text import shortened

_FILES = f"*{SUFFIX}"  # of a folder


@dataclass(frozen=True)
class Shelf:
    """Where the class texts of each dataset are: in a file of its own, else in that of all
    datasets (or in the folder with one for each), else where the dataset's card says.

    `backbone` is the one whose text tower reads them.
    """

    backbone: str
    own: Mapping[str, Path]
    every: Path | None = None

    def lacking(self, legs: Iterable[Leg]) -> list[str]:
        """The datasets of legs for which no file is named."""
        named = dict.fromkeys(name for leg in legs for name in names_used(leg))
        if self.every is not None:
            return []
        return [n for n in named if n not in self.own and cards.load(n).class_texts is None]

    def of(self, leg: Leg) -> dict[str, ClassTexts]:
        """The texts of each dataset of a leg, whose classes all have some.

        Raises:
            UserError: a file that is not there or not as it must be, a class without a text, a text
                that the text tower cannot read to its end.
        """
        return {name: self._checked(name, tuple(used)) for name, used in names_used(leg).items()}

    def read_all(self) -> None:
        """Read what the user names, whether a method uses it or not.

        Raises:
            UserError: as `of`.
        """
        for path in (*self.own.values(), *([self.every] if self.every is not None else [])):
            if not path.is_dir():
                _read(path)

    def _checked(self, dataset: str, names: tuple[str, ...]) -> ClassTexts:
        path = self._path(dataset)
        texts = _read(path)
        try:
            texts.of(names)
        except UserError as error:
            raise UserError(
                f"class texts of {dataset}: {error}; add them, or name another file: --class-texts "
                f"{dataset}=FILE"
            ) from error
        if problem := _too_long(path, texts.sha256, names, self.backbone):
            raise UserError(f"class texts of {dataset}: {problem}")
        return texts

    def _path(self, dataset: str) -> Path:
        found = self.own.get(dataset, self.every)
        if found is None:
            entry = cards.load(dataset).class_texts
            if entry is None:
                raise UserError(
                    f"no class texts of {dataset}: name a file of sentences per class with "
                    "--class-texts (docs/class-texts.md)"
                )
            return cards.path_of(dataset).with_name(entry)
        if not found.is_dir():
            return found
        inside = found / f"{dataset}{SUFFIX}"
        if not inside.is_file():
            there = sorted(path.name for path in found.glob(_FILES))
            raise UserError(
                f"the folder {found} (--class-texts) has no {inside.name}; it has "
                f"{shortened(', '.join(there)) or 'no such file'}; name the one that is meant: "
                f"--class-texts {dataset}=FILE"
            )
        return inside


def shelf_of(given: Sequence[str], backbone: str) -> Shelf:
    """What `--class-texts` says.

    Raises:
        UserError: a dataset that there is not, two files for one, or a path where nothing is.
    """
    own: dict[str, Path] = {}
    every: list[Path] = []
    for each in given:
        dataset, path = parted(each)
        if not path.exists():
            raise UserError(f"--class-texts {each}: {path} does not exist")
        if not dataset:
            every.append(path)
            continue
        if dataset not in cards.names():
            remedy = "before = stands a dataset's name; write ./ before a path that has one"
            raise unknown("dataset", dataset, cards.names(), remedy)
        if path.is_dir() or dataset in own:
            problem = "is a folder" if path.is_dir() else f"is the second file of {dataset}"
            raise UserError(f"--class-texts {each}: {path.name} {problem}; name one file")
        own[dataset] = path
    if len(every) > 1:
        raise UserError(
            f"--class-texts names {every[0].name} and {every[1].name} for every dataset; say which "
            "one is whose: --class-texts DATASET=FILE"
        )
    return Shelf(backbone, own, every[0] if every else None)


def whole(given: Sequence[str]) -> tuple[str, ...]:
    """What is given, with paths that mean the same wherever they are read."""
    parts = map(parted, given)
    return tuple(joined(dataset, path.absolute()) for dataset, path in parts)


def files_of(given: Sequence[str]) -> list[Path]:
    """The files that are given, those of folders among them."""
    paths = [path for _, path in map(parted, given)]
    return [f for path in paths for f in (sorted(path.glob(_FILES)) if path.is_dir() else [path])]


def _read(path: Path) -> ClassTexts:
    state = path.stat() if path.exists() else None
    return _read_once(path, state and (state.st_mtime_ns, state.st_size, state.st_ino))


@functools.lru_cache(maxsize=64)  # by what changes with the file: many cells name the same
def _read_once(path: Path, _: object) -> ClassTexts:
    return class_texts.read(path)


@functools.lru_cache(maxsize=256)
def _too_long(path: Path, _: str, names: tuple[str, ...], backbone: str) -> str:
    """The first text of classes that is longer than the text tower reads, if there is one; where a
    tokenizer of transformers comes with the weights, the tower itself refuses when it reads."""
    from promptbench.models import backbones

    texts, stated = _read(path), backbones.architecture(backbone)["text_cfg"]
    if stated.get("hf_tokenizer_name"):
        return ""
    most = stated["context_length"]
    some = [
        (name, text)
        for name, sentences in zip(names, texts.of(names), strict=True)
        for text in sentences
        if len(text.encode()) + 2 > most  # no token is less than a byte
    ]
    counts = _tokens([text for _, text in some], backbone)
    for (name, text), count in zip(some, counts, strict=True):
        if count > most:
            return (
                f"{texts.file} has for {name!r} a text of {count} tokens, {shortened(text)!r}, "
                f"but the text tower of {backbone} reads at most {most}; shorten it"
            )
    return ""


def _tokens(texts: Sequence[str], backbone: str) -> list[int]:
    """How many tokens texts have for a backbone, with start and end; remembered, since the import
    of open_clip takes longer than a plan."""
    from promptbench.models import backbones

    if not texts:
        return []
    with remembered.opened(cache_folder()) as memory:
        stated = backbones.architecture(backbone)["text_cfg"]
        key = remembered.key_of("tokens of texts", backbone, stated, texts)
        found = memory.get(key)
        if found is None:
            encode = backbones.load_tokenizer(backbone).encode
            found = json.dumps([len(encode(text)) + 2 for text in texts])
            memory.put(key, found)
    counts: list[int] = json.loads(found)
    return counts


def remarks(shelf: Shelf, datasets: Sequence[str], uses: Mapping[str, bool]) -> tuple[str, ...]:
    """What to know of files that the user names and nothing uses, a sentence each.

    Args:
        datasets: those of the plan.
        uses: by method of the plan, whether it uses class texts.
    """
    if not shelf.own and shelf.every is None:
        return ()
    users = [name for name, does in uses.items() if does]
    others = [name for name, does in uses.items() if not does]
    verb = f"{', '.join(others)} {'uses' if len(others) == 1 else 'use'}"
    if not users:
        return (f"note: --class-texts is not used: {verb} no class texts",)
    found = [f"note: --class-texts is for {', '.join(users)}; {verb} none"] if others else []
    for name in shelf.own:
        if name not in datasets:
            found.append(f"note: --class-texts {name}=...: {name} is not a dataset of this run")
    return tuple(found)
