"""Where tars of others lie, in a folder or on a server, and getting their files from there."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from promptbench.data.cards import misnamed
from promptbench.data.layouts import tars
from promptbench.data.layouts.fence import Fence
from promptbench.data.layouts.files import safe
from promptbench.data.shards import remote
from promptbench.errors import UserError
from promptbench.storage import reading
from promptbench.support.progress import Reporter

_MOST_TEXT = 4 * 2**20  # bytes of a text beside the tars
_MOST_COUNT = 2**10  # bytes of nshards.txt


class Shelf:
    """A folder or an address `base`, and who hears what happens there."""

    def __init__(self, base: str, listener: Reporter) -> None:
        self.base, self.listener = base, listener
        self.is_served = remote.is_url(base)

    @cached_property
    def fence(self) -> Fence:
        return Fence(Path(self.base).expanduser())

    def file(self, name: str) -> Path:
        """A file; of a server a tar comes from the cache, a text always new (nothing says whether a
        cached one is still right).

        Raises:
            UserError: it is not there, cannot be fetched, is not a file or lies elsewhere.
        """
        safe(name, self.base)
        if self.is_served:
            if name.endswith(".tar"):
                return remote.fetch(self.base, name, self.listener)
            expected = remote.Expected(at_most=_most(name))
            return remote.fetch(self.base, name, self.listener, expected, refresh=True)
        path = self.fence.own / name
        if not path.exists():
            raise remote.NotThere(f"{path} does not exist")
        reading.refuse_other_kinds(path, "the file")
        return self.fence.checked(path, "the file")

    def text(self, name: str) -> str:
        """A text beside the tars.

        Raises:
            UserError: as `file`, or it is not UTF-8 text.
        """
        path = self.file(name)
        if what := misnamed.described(path, "text"):
            raise UserError(f"{self.base}: {name} is {what}")
        try:
            return reading.read_bytes(path, _most(name), "the text").decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{self.base}: {name} is not UTF-8 text: {error}") from error

    def lines(self, name: str) -> list[str]:
        """The lines of a text that may lie beside the tars, without empty ones."""
        try:
            text = self.text(name)
        except remote.NotThere:
            return []
        return [line.strip() for line in text.splitlines() if line.strip()]

    def contents(self, name: str) -> tars.TarContents:
        """What a tar holds; one whose cached copy is damaged is fetched again."""
        was_cached = self.is_served and remote.cached_path(self.base, name).is_file()
        path = self.file(name)
        try:
            return tars.read(path)
        except tars.DamagedTar:
            if not was_cached:
                raise
            self.listener.message(f"{path} is damaged; fetching it again")
            return tars.read(remote.fetch(self.base, name, self.listener, refresh=True))


def _most(name: str) -> int:
    return _MOST_COUNT if name.endswith("nshards.txt") else _MOST_TEXT
