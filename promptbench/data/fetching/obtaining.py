"""Fetching what a card wants: one address after another, checked, unpacked, put in its place."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from promptbench.data.cards.cards import Archive, DataCard
from promptbench.data.fetching import checksums, unpacking
from promptbench.data.fetching.addresses import download_address
from promptbench.data.fetching.unpacking import Damaged
from promptbench.data.fetching.wanted import by_hand, missing
from promptbench.data.web import resuming
from promptbench.data.web.connecting import BrokenOff, proxy_of
from promptbench.data.web.redirects import RefusedDownload
from promptbench.data.web.resuming import Remote
from promptbench.errors import RunError, UserError
from promptbench.storage import leases
from promptbench.storage.files import told_if_unwritable
from promptbench.support.progress import Reporter
from promptbench.support.safe_text import printable, shortened

TRIES = 3  # in a row that bring nothing new
PAUSE = 2.0  # seconds before the second try, then twice as long each time
OFFLINE = "PROMPTBENCH_OFFLINE"
_PROXY_LOGIN = http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED.value
_NEWS = 2**20  # bytes beyond the most so far that count as something new
_MOST_SAID = 300  # characters of what a server says


class Unavailable(RunError):
    """No address gives a file, or the network is not there."""


class _NotHere(Exception):
    """One address does not give the file; the next may."""


@dataclass(frozen=True)
class Places:
    """Where a dataset goes: `folder` is what `data prepare --source` wants."""

    folder: Path
    keep_archives: bool = False

    def downloads(self, card: DataCard) -> Path:
        """Where the files of a card lie before they are unpacked."""
        return self.folder / "downloads" / card.name


def fetch(card: DataCard, places: Places, listener: Reporter) -> None:
    """Fetch what a card wants and the folder lacks; complete parts stay whatever happens.

    One process fetches a dataset, others wait for it. Files that lie in its downloads folder are
    used as if they had just come.

    Raises:
        Unavailable: a file cannot be had; says what to put where.
        OutputError: the disk is full, or the folder cannot be written.
    """
    lease = leases.place(places.folder / "downloads", "fetch", _digest(card.name))
    if leases.is_held(lease):
        listener.message(f"{card.name}: another process is fetching it; waiting")
    with leases.held(lease):
        _fetch(card, places, listener)


def _fetch(card: DataCard, places: Places, listener: Reporter) -> None:
    downloads = places.downloads(card)
    unpacking.discard(_scratch(downloads))  # of one that was killed
    problems: dict[str, str] = {}
    for archive in missing(card, places.folder):
        if archive not in missing(card, places.folder):
            continue  # another archive held it as well
        try:
            _obtain(archive, places, downloads, listener)
        except _NotHere as error:
            problems[archive.file] = str(error)
            _replace(archive, card, places, problems, listener)
    if not (left := missing(card, places.folder)):
        return
    if is_offline():
        raise Unavailable(
            f"{card.name} cannot be fetched, {OFFLINE} is set: {by_hand(card, left, downloads)}"
        )
    said = "; ".join(f"{file}: {why}" for file, why in problems.items())
    raise Unavailable(f"{card.name} is not complete: {said}. {by_hand(card, left, downloads)}")


def _replace(
    archive: Archive,
    card: DataCard,
    places: Places,
    problems: dict[str, str],
    listener: Reporter,
) -> None:
    """Try the archives that hold what this one holds."""
    for other in card.archives:
        if archive.file not in other.replaces or other.file in problems:
            continue
        listener.message(f"{archive.file}: {problems[archive.file]}; trying {other.file}")
        try:
            _obtain(other, places, places.downloads(card), listener)
            return
        except _NotHere as error:
            problems[other.file] = str(error)


def is_offline() -> bool:
    """Whether the user has said that nothing may be asked of the network."""
    return os.environ.get(OFFLINE, "") not in ("", "0")


def _obtain(archive: Archive, places: Places, downloads: Path, listener: Reporter) -> None:
    """Put the content of one file in its place, from here or from the first address that has it.

    Raises:
        _NotHere: none has it.
    """
    path = downloads / archive.file
    problems = []
    if path.is_file():
        difference = checksums.difference(path, archive, listener)
        problem = _wrong(path, difference) or _place(path, archive, places, listener)
        if problem is None:
            return
        problems.append(f"the one in {downloads} is wrong: {problem}")
    for url in archive.urls if not is_offline() else ():
        try:
            difference = _download(url, archive, path, listener)
            problem = _wrong(path, difference) or _place(path, archive, places, listener)
        except _NotHere as error:
            problem = str(error)
        if problem is None:
            return
        problems.append(f"{url}: {problem}")
        listener.message(f"{archive.file}: {problems[-1]}")
    raise _NotHere("; ".join(problems) or "no address is known")


def _download(url: str, archive: Archive, path: Path, listener: Reporter) -> str | None:
    """Download from one address, and return how the file differs from what the card says.

    Bytes in several pieces that do not fit together are fetched once more in one.

    Raises:
        _NotHere: the address does not give it.
    """
    address, headers = download_address(url)
    size = None if archive.bytes == "unknown" else archive.bytes
    remote = Remote(address, headers, size, checksums.has_checksum(archive))
    pieces = _persist(remote, path, listener)
    difference = checksums.difference(path, archive, listener)
    if difference is None or pieces == 1:
        return difference
    listener.message(f"{path.name}: its pieces do not fit together; from its beginning")
    path.unlink()
    _persist(remote, path, listener)
    return checksums.difference(path, archive, listener)


def _persist(remote: Remote, path: Path, listener: Reporter) -> int:
    """Download until the file is whole, or several tries in a row bring nothing new.

    Returns:
        In how many pieces it came.
    """
    part = resuming.part_of(path)
    most, stuck, problem = _size(part), 0, ""
    while stuck < TRIES:
        if problem:
            listener.message(f"{path.name}: {problem}; trying again")
            time.sleep(PAUSE * 2 ** max(stuck - 1, 0))
        try:
            return resuming.download(remote, path, listener)
        except urllib.error.HTTPError as error:
            problem = _refusal(error)
        except RefusedDownload as error:
            raise _NotHere(_short(str(error))) from error
        except (BrokenOff, http.client.HTTPException, OSError, UnicodeError, ValueError) as error:
            problem = _short(str(getattr(error, "reason", "") or error) or type(error).__name__)
            if problem.startswith(f"Tunnel connection failed: {_PROXY_LOGIN}"):
                raise _wants_password(problem) from error
            if isinstance(error, urllib.error.URLError) and (proxy := proxy_of(remote.url)):
                problem += f", through the proxy {proxy}"
        if (now := _size(part)) > most + _NEWS:
            most, stuck = now, 0
        else:
            stuck += 1
    raise _NotHere(f"{problem} ({TRIES} tries)")


def _refusal(error: urllib.error.HTTPError) -> str:
    """What a server's error means, if asking again may help.

    Raises:
        _NotHere: it does not help.
        UserError: the proxy wants a password, whatever the address.
    """
    error.close()
    said = _short(f"HTTP {error.code} {error.reason}")
    if error.code == _PROXY_LOGIN:
        raise _wants_password(said) from error
    if error.code in (401, 403):
        raise _NotHere(
            f"it asks for a login ({said}); on the Hugging Face hub accept the dataset's terms, "
            "and set HF_TOKEN"
        ) from error
    if 400 <= error.code < 500 and error.code not in (408, 425, 429):
        raise _NotHere(f"it is not there ({said})") from error
    return said


def _wants_password(said: str) -> UserError:
    return UserError(
        f"the proxy asks for a user and a password ({said}): name them in https_proxy and "
        "http_proxy, http://USER:PASSWORD@HOST:PORT"
    )


def _wrong(path: Path, difference: str | None) -> str | None:
    """Keep a file aside that is not the card's, and say so."""
    return None if difference is None else f"{difference}; {_set_aside(path)}"


def _place(path: Path, archive: Archive, places: Places, listener: Reporter) -> str | None:
    """Put the content of a file in its place; return why it cannot be, with the file kept aside."""
    target, scratch = places.folder / archive.gives, _scratch(path.parent)
    try:
        if archive.take:
            unpacking.unpack(path, archive.take, scratch, listener)
        kept = unpacking.settle(scratch if archive.take else path, target)
    except Damaged as error:
        return f"{error}; {_set_aside(path)}"
    finally:
        unpacking.discard(scratch)
    if not checksums.has_checksum(archive):
        listener.message(
            f"{archive.file}: no checksum of it is known; `promptbench data prepare` checks its "
            "images and counts"
        )
    if kept:
        listener.message(f"{target}: what was there stays as it was: {', '.join(kept)}")
    if archive.take and not places.keep_archives:
        path.unlink()
    return None


def _set_aside(path: Path) -> str:
    """Rename a wrong file, so that nobody takes it for a right one, and say how it is called."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    aside = path.with_name(f"{path.name}.wrong-{digest[:8]}")
    with told_if_unwritable(path.parent):
        path.replace(aside)
    return f"it is kept as {aside}"


def _scratch(downloads: Path) -> Path:
    return downloads / ".unpacking"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _short(text: str) -> str:
    return printable(shortened(text, _MOST_SAID))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
