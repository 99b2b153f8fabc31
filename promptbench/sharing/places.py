"""Where a cell is handed on to: `hf:user/name[@revision]` or `folder:DIR`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from promptbench.errors import UserError
from promptbench.support.safe_text import printable, shortened

HUB, FOLDER = "hf:", "folder:"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPOSITORY = re.compile(rf"/{{0,2}}({_NAME}/{_NAME})(?:@([A-Za-z0-9_][A-Za-z0-9_./-]{{0,254}}))?")
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubPlace:
    """A model repository of the Hugging Face hub; `revision` is a branch, a tag or a commit, None
    the newest of the main branch."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{HUB}{self.repository}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class FolderPlace:
    """A folder on this machine."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)


def hub_place(text: str) -> HubPlace | None:
    """The repository that `hf:user/name` or `hf:user/name@revision` names; None for text that does
    not begin with `hf:`.

    Raises:
        UserError: what follows is not the name of a repository.
    """
    if not text.startswith(HUB):
        return None
    found = _REPOSITORY.fullmatch(text.removeprefix(HUB))
    if found is None or any(part in found[0] for part in ("..", "--")):
        raise UserError(
            f"{shortened(printable(text))!r} does not name a repository of the Hugging Face hub; "
            f"write {HUB}user/name or {HUB}user/name@revision"
        )
    return HubPlace(found[1], found[2])


def place_of(text: str) -> HubPlace | FolderPlace:
    """Where something is to be handed on to.

    Raises:
        UserError: neither `hf:user/name` nor `folder:DIR`, or a revision.
    """
    if text.startswith(FOLDER) and text != FOLDER:
        return FolderPlace(Path(text.removeprefix(FOLDER)).expanduser())
    found = hub_place(text)
    if found is None:
        raise UserError(
            f"{shortened(printable(text))!r} is not a place to push to; write {HUB}user/name or "
            f"{FOLDER}DIR"
        )
    if found.revision is not None:
        raise UserError(f"{found}: a push goes to the main branch; leave @{found.revision} out")
    return found
