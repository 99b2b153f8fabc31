"""What a site or ranking is without: a line for each kind of thing, and a list of them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptbench.errors import UserError
from promptbench.leaderboard.checking import repetitions
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.support.prose import counted
from promptbench.support.safe_text import printable, shortened, shown_path

RECORD = "record"
ANALYSIS = "file of analyses"
_WHY = 90  # characters of a reason in a line; the list has it whole


@dataclass(frozen=True)
class LeftOut:
    """A thing that is not shown, of a kind whose plural takes an s, and why not."""

    kind: str
    what: str
    why: str


def of_verdicts(refused: Iterable[Verdict]) -> list[LeftOut]:
    """Say of records that `verify` refuses why it does."""
    return [LeftOut(RECORD, shown_path(v.path), "; ".join(v.reasons)) for v in refused]


def told(things: Sequence[LeftOut], where: str) -> list[str]:
    """Return a line for each kind: how many, why most of them, and `where` all are named. Records
    that only repeat accepted ones have a line of their own."""
    kinds: dict[tuple[str, bool], list[LeftOut]] = {}
    for thing in things:
        kinds.setdefault((thing.kind, thing.why == repetitions.REASON), []).append(thing)
    return [_line(kind, own, where) for (kind, _), own in kinds.items()]


def _line(kind: str, things: Sequence[LeftOut], where: str) -> str:
    reasons = Counter(thing.why for thing in things)
    ((why, most),) = reasons.most_common(1)
    if len(reasons) == 1:
        because = shortened(printable(why), _WHY)
    else:
        often = f", {most} of them" if most > 1 else ""
        because = f"{len(reasons)} reasons, such as{often}: {shortened(printable(why), _WHY)}"
    return f"left out: {counted(len(things), kind)} ({because}); {where}"


def listed(things: Iterable[LeftOut]) -> str:
    """Return the whole list as text: under each reason what it speaks against."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for thing in things:
        reasons.setdefault((thing.kind, thing.why), []).append(thing.what)
    blocks = (
        "\n".join([f"{counted(len(names), kind)}: {printable(why)}", *(f"    {n}" for n in names)])
        for (kind, why), names in reasons.items()
    )
    return "\n\n".join(blocks) + "\n"


def place_beside(site: Path) -> Path:
    """Return where the list of a site is: beside it, since it names files of this machine."""
    name = f"{site.resolve().name}-left-out.txt"
    return (site if site.name not in ("", "..") else site.resolve()).with_name(name)


def write(things: Sequence[LeftOut], site: Path) -> Path | None:
    """Write the list beside a site, or remove that of an earlier one; None if there is nothing.

    Raises:
        UserError: it cannot be written.
    """
    path = place_beside(site)
    try:
        if not things:
            path.unlink(missing_ok=True)
            return None
        path.write_text(listed(things), encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return path
