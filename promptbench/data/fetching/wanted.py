"""What a card wants fetched, what of it is there, and what is said of that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from promptbench.data.cards.cards import Archive, DataCard
from promptbench.data.fetching.checksums import has_checksum
from promptbench.data.web.downloading import size_said
from promptbench.errors import UserError


def wanted(card: DataCard) -> list[Archive]:
    """The files of a card that `data prepare` needs; those that replace others are not among
    them."""
    return [archive for archive in card.archives if archive.gives and not archive.replaces]


def missing(card: DataCard, folder: Path) -> list[Archive]:
    """Those of `wanted` whose content is not in a folder yet."""
    return [archive for archive in wanted(card) if not _is_there(folder / archive.gives)]


def _is_there(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def refuse_unfetchable(card: DataCard, folder: Path) -> None:
    """Refuse a dataset of which nothing can be fetched.

    Raises:
        UserError: its images are drawn, or its card names no addresses.
    """
    if card.source.kind == "generated":
        raise UserError(
            f"{card.name} is not downloaded: promptbench draws its images when they are needed"
        )
    if any(archive.urls for archive in wanted(card)):
        return
    if not card.obtain:
        raise UserError(
            f"{card.name}: its card names no address to fetch from; add [[archives]] with file, "
            "urls and gives to it, or pass its folder to `promptbench data prepare --source`"
        )
    raise UserError(
        f"{card.name} cannot be fetched: its card knows no address from which a program may "
        f"download it; get it by hand ({'; '.join(card.obtain)}), put it below {folder} as "
        f"`promptbench data info {card.name}` says under layout, and go on with `promptbench data "
        f"prepare {card.name} --source {folder}`"
    )


def by_hand(card: DataCard, archives: Sequence[Archive], downloads: Path) -> str:
    """What to put where, for a person with another way to the files."""
    files = "; ".join(f"{archive.file} ({_from(archive)})" for archive in archives)
    what = "this file" if len(archives) == 1 else "these files"
    return (
        f"put {what} into {downloads} and run the same command again, which checks and unpacks "
        f"what it finds there: {files}"
    )


def _from(archive: Archive) -> str:
    size = "" if archive.bytes == "unknown" else f"{size_said(archive.bytes)}, "
    return f"{size}from {archive.urls[0]}" if archive.urls else f"{size}no address is known"


def announced(card: DataCard, folder: Path) -> list[str]:
    """What a fetch would do, a line for each file."""
    there = {archive.file for archive in wanted(card)} - {a.file for a in missing(card, folder)}
    lines = []
    for archive in card.archives:
        if not archive.gives:
            continue
        size = "size unknown" if archive.bytes == "unknown" else size_said(archive.bytes)
        known = "checksum known" if has_checksum(archive) else "checksum unknown"
        state = "there already" if archive.file in there else f"{size}, {known}"
        if archive.replaces:
            state += f"; only if {' or '.join(archive.replaces)} cannot be had"
        urls = ", then ".join(archive.urls) or "no address known"
        lines.append(f"{archive.file} -> {folder / archive.gives}: {state}; from {urls}")
    return lines
