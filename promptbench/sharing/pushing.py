"""A cell handed on: to a repository of the Hugging Face hub, or to a folder on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from promptbench.errors import UserError
from promptbench.records import PARAMETERS, RECORD, subset
from promptbench.sharing import hub
from promptbench.sharing.contents import CARD, README, Contents, of_cell
from promptbench.sharing.model_card import model_card
from promptbench.sharing.places import FolderPlace, HubPlace
from promptbench.storage import reading
from promptbench.storage.files import ensure_writable, write_whole
from promptbench.storage.integrity import SUMS
from promptbench.support.safe_text import shortened

_MADE_BY_HUB = frozenset({".gitattributes", README})  # a new repository may have these
_OURS = frozenset({RECORD, PARAMETERS, subset.FILE, CARD, SUMS, README})
_SHOWN = 3


@dataclass(frozen=True)
class Pushed:
    """Where a cell went, what is there now, and what is to be said of it."""

    address: str
    files: tuple[str, ...]
    notes: tuple[str, ...]


def push(
    path: Path,
    place: HubPlace | FolderPlace,
    *,
    licence: str | None = None,
    private: bool = False,
    replace: bool = False,
) -> Pushed:
    """Hand on the cell with this record, with a model card made of it.

    Args:
        licence: of what was learned, as the hub calls it, such as apache-2.0; None: none is stated.
        private: whether a repository that is made for it is private.
        replace: whether another cell, or something else, that is there may be replaced.

    Raises:
        UserError: a cell that is not whole, a place that holds something else, no token, no
            permission, or no network.
    """
    contents = of_cell(path)
    token = hub.token_for(place) if isinstance(place, HubPlace) else ""
    files = contents.files | {README: model_card(contents, path.parent, place, licence).encode()}
    if isinstance(place, FolderPlace):
        _write(place.folder, contents, files, replace)
        return Pushed(str(place.folder), tuple(sorted(files)), contents.notes)
    there = hub.create(place, token, private)
    same = RECORD in there and _is_same(hub.file_of(place, RECORD, 2**25), contents)
    _refuse_others(str(place), there, same, replace)
    stale = sorted(name for name in there if _is_ours(name) and name not in files)
    title = contents.record.method.title
    message = f"{title} on {contents.record.source.dataset}, by promptbench"
    commit = hub.commit(place, files, stale, token, message)
    return Pushed(f"{hub.address(place)} ({commit[:10]})", tuple(sorted(files)), contents.notes)


def _write(folder: Path, contents: Contents, files: dict[str, bytes], replace: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")
    ensure_writable(folder)
    there = [p.relative_to(folder).as_posix() for p in folder.glob("**/*") if p.is_file()]
    same = RECORD in there and _is_same(folder / RECORD, contents)
    _refuse_others(str(folder), there, same, replace)
    for name in there:
        if _is_ours(name) and name not in files:
            (folder / name).unlink()
    for name, data in sorted(files.items(), key=lambda item: item[0] == RECORD):  # that one last
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, data)


def _is_same(record: Path, contents: Contents) -> bool:
    data = reading.read_bytes(record, 2**25, "the record")
    own = contents.files[RECORD]
    return hashlib.sha256(data).digest() == hashlib.sha256(own).digest()


def _is_ours(name: str) -> bool:
    return name in _OURS or (name.startswith("predictions/") and name.endswith(".csv.gz"))


def _refuse_others(place: str, there: Iterable[str], same: bool, replace: bool) -> None:
    """Refuse to write over another cell, or over something else."""
    others = sorted(set(there) - _MADE_BY_HUB)
    if not others or same or replace:
        return
    what = "another cell" if RECORD in others else "something else"
    shown = ", ".join(shortened(name, 60) for name in others[:_SHOWN])
    more = ", ..." if len(others) > _SHOWN else ""
    raise UserError(
        f"{place} holds {what} ({shown}{more}); name another place, or give --replace to write "
        "over it"
    )
