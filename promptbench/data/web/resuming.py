"""A download that goes on where it stopped: in another process, or from another mirror.

What has come lies in `<file>.part`; beside it `<file>.part.json` says from where and of which
version (RFC 9110: an entity tag or a date, sent back as If-Range). Bytes of another address or of
an unnamed version are continued only where a checksum will tell whether they fit.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from promptbench.data.web.connecting import SLOW, Answer, BrokenOff, answer_of
from promptbench.data.web.downloading import BLOCK, LARGEST, announced_length, size_said
from promptbench.data.web.redirects import Anywhere, RefusedDownload
from promptbench.errors import OutputError
from promptbench.storage.files import told_if_unwritable, write_whole
from promptbench.support.progress import Reporter

LARGEST_SET = 256 * 2**30  # bytes that a server may announce; ImageNet has 138 GiB
_RANGE = re.compile(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)")
_WHOLE = re.compile(r"bytes \*/(\d{1,15})")


@dataclass(frozen=True)
class Note:
    """Where the bytes of a part are from, and in how many pieces they came."""

    url: str = ""
    version: str = ""
    pieces: int = 0


@dataclass(frozen=True)
class Remote:
    """A file on a server: `size` in bytes and whether a checksum is known (None, False: not)."""

    url: str
    headers: Mapping[str, str]
    size: int | None
    has_checksum: bool


def part_of(path: Path) -> Path:
    """Where the bytes of a file lie while it is not complete."""
    return path.with_name(f"{path.name}.part")


def forget(path: Path) -> None:
    """Remove what has come of a file so far."""
    for left in (part_of(path), _note_of(path)):
        left.unlink(missing_ok=True)


def note(path: Path) -> Note:
    """What is known of the part of a file; an empty note where nothing can be read."""
    try:
        found = json.loads(_note_of(path).read_bytes())
        return Note(str(found["url"]), str(found["version"]), int(found["pieces"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return Note()


def download(remote: Remote, path: Path, listener: Reporter) -> int:
    """Bring the part of `path` to its end, from where it is, and rename it to `path`.

    Returns:
        In how many pieces its bytes came.

    Raises:
        BrokenOff, OSError, http.client.HTTPException: it did not work this time; what has come
            stays.
        RefusedDownload: the server has another file, or sends more than it may.
        OutputError: the disk is full, or the folder cannot be written.
    """
    with told_if_unwritable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    have, request = _request(remote, path)
    if have == 0 or have != remote.size:  # else a kill came between the last byte and the rename
        try:
            with answer_of(request, Anywhere()) as answer:
                _receive(answer, remote, path, have, listener)
        except urllib.error.HTTPError as error:
            error.close()
            _explain(error, path, have)
    pieces = note(path).pieces
    with told_if_unwritable(path.parent):
        part_of(path).replace(path)
        _note_of(path).unlink(missing_ok=True)
    return pieces


def _request(remote: Remote, path: Path) -> tuple[int, urllib.request.Request]:
    """How many bytes are here, and what asks for the others."""
    known = note(path)
    part = part_of(path)
    have = part.stat().st_size if part.is_file() else 0
    same = known.url == remote.url and bool(known.version)
    too_many = remote.size is not None and have > remote.size
    if too_many or not (same or remote.has_checksum):
        have = 0
    request = urllib.request.Request(
        remote.url, headers={"User-Agent": "promptbench", "Accept-Encoding": "identity"}
    )
    for key, value in remote.headers.items():  # such as a token, which no other host may see
        request.add_unredirected_header(key, value)
    if have:
        request.add_header("Range", f"bytes={have}-")
        if same:
            request.add_header("If-Range", known.version)
    return have, request


def _explain(error: urllib.error.HTTPError, path: Path, have: int) -> None:
    """Let pass an answer that says that all bytes are here; say what another one means."""
    if error.code in (301, 302, 303, 307, 308):
        raise RefusedDownload("it redirects in a circle, or more than ten times") from error
    if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise error
    whole = _WHOLE.fullmatch(error.headers.get("Content-Range") or "")
    if not have or whole is None or int(whole[1]) != have:
        forget(path)
        raise BrokenOff("the server has less than what has come before; from its beginning") from (
            error
        )


def _receive(answer: Answer, remote: Remote, path: Path, have: int, listener: Reporter) -> None:
    """Write what a server sends behind what is here, or in its place."""
    have, total = _extent(answer, remote, have)
    bound = total if total is not None else LARGEST
    if not have:
        with told_if_unwritable(path.parent):
            part_of(path).unlink(missing_ok=True)
    _refuse_full(path, bound - have if total is not None else 0)
    headers = answer.response.headers
    tag = headers.get("ETag") or ""
    version = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified") or ""
    pieces = max(note(path).pieces, 1) + 1 if have else 1
    write_whole(
        _note_of(path), json.dumps(asdict(Note(remote.url, version[:1000], pieces))).encode()
    )
    with (
        told_if_unwritable(path.parent),
        part_of(path).open("ab") as file,
        listener.task(f"fetch {path.name}", round((total or 0) / BLOCK), "MiB") as task,
    ):
        task.advance(have // BLOCK)
        while block := answer.block(BLOCK):
            before, have = have, have + len(block)
            if have > bound:
                raise RefusedDownload(f"it sends more than the {size_said(bound)} that it may")
            _write(file, block, path)
            task.advance(have // BLOCK - before // BLOCK)
    if answer.was_slow:
        raise BrokenOff(SLOW)
    if total is not None and have < total:
        raise BrokenOff(f"the server stopped after {have} of {total} bytes")


def _write(file: IO[bytes], block: bytes, path: Path) -> None:
    with told_if_unwritable(path):
        file.write(block)


def _extent(answer: Answer, remote: Remote, have: int) -> tuple[int, int | None]:
    """The byte at which an answer begins, and how many the whole file has, if that is said.

    Raises:
        BrokenOff: it begins elsewhere.
        RefusedDownload: it is another file, or too large.
    """
    response = answer.response
    length = announced_length(remote.url, response.headers.get_all("Content-Length", []))
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        found = _RANGE.fullmatch(response.headers.get("Content-Range") or "")
        if found is None or int(found[1]) != have or not have:
            raise BrokenOff("the server sends another part than it was asked for")
        total = int(found[2]) if found[2] != "*" else length and length + have
    elif response.status == http.HTTPStatus.OK:  # it changed, or the server knows no parts
        have, total = 0, length
    else:
        raise BrokenOff(f"the server answers HTTP {response.status}, not with the file")
    if _is_page(answer, remote, total):
        raise RefusedDownload(
            "it answers with a web page, not with the file (a form, a quota, a login?)"
        )
    if None not in (remote.size, total) and remote.size != total:
        raise RefusedDownload(f"it has a file of {total} bytes, the card says {remote.size}")
    if total is not None and total > LARGEST_SET:
        raise RefusedDownload(f"it is larger than {size_said(LARGEST_SET)}; is the address right?")
    return have, total if total is not None else remote.size


def _is_page(answer: Answer, remote: Remote, total: int | None) -> bool:
    """Whether a page comes in the file's place: a form, a notice, a login of the network."""
    kind = (answer.response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") and (
        remote.size is None or total != remote.size
    )


def _refuse_full(path: Path, more: int) -> None:
    """Refuse what the disk cannot hold, before it comes."""
    free = shutil.disk_usage(path.parent).free
    if more > free:
        raise OutputError(
            f"{path.name} needs {size_said(more)} more, and {path.parent} has {size_said(free)} "
            "free; free some space or choose another folder, and run the same command again"
        )


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part.json")
