"""What a source holds and a layout does not read: counted, named, reported, or refused."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from promptbench.data.layouts.fence import remedy_for
from promptbench.errors import UserError
from promptbench.support.progress import Reporter

_MOST_FORMS = 4  # of suffixes in a line


@dataclass
class _Tally:
    first: str
    count: int = 0
    forms: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        forms = [f"{form} {count}" for form, count in self.forms.most_common(_MOST_FORMS)]
        more = ["..."] if len(self.forms) > _MOST_FORMS else []
        return f" ({', '.join(forms + more)})" if forms else ""


class Findings:
    """What was found at `where` and is not read, kind by kind: how many, and the first of each.

    Kinds are phrases with the place of a plural's s: "folder(s) without images".
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._left: dict[str, _Tally] = {}
        self._lost: dict[str, tuple[str, _Tally]] = {}
        self._outside: dict[str, Path] = {}
        self._notes: dict[str, _Tally] = {}

    def left_out(self, kind: str, name: str, form: str = "") -> None:
        """Something that is not a sample; `form` distinguishes kinds of the kind, such as a
        suffix."""
        tally = self._left.setdefault(kind, _Tally(name))
        tally.count += 1
        if form:
            tally.forms[form] += 1

    def lost(self, kind: str, remedy: str, name: str) -> None:
        """Something that seems to be a sample and cannot be read; of a kind the first remedy
        stands for all."""
        self._lost.setdefault(kind, (remedy, _Tally(name)))[1].count += 1

    def outside(self, kind: str, folder: Path, name: str) -> None:
        """Something that lies in a folder outside of the source; the remedy is to allow the one
        that holds all such folders, unless that is everything."""
        before = self._outside.get(kind, folder)
        common = Path(os.path.commonpath([before, folder]))
        self._outside[kind] = before if common == Path(common.anchor) else common
        self.lost(kind, "", name)
        self._lost[kind] = (remedy_for(self._outside[kind]), self._lost[kind][1])

    def note(self, kind: str, name: str) -> None:
        """Something that is read, and that the user may not expect to be."""
        self._notes.setdefault(kind, _Tally(name)).count += 1

    def refuse_lost(self) -> None:
        """Refuse a source of which samples would be lost.

        Raises:
            UserError: how many there are of each kind, the first, and what to do.
        """
        if self._lost:
            problems = (f"{_line(k, tally)}; {remedy}" for k, (remedy, tally) in self._lost.items())
            raise UserError(f"{self._where}: {'. '.join(problems)}")

    def report(self, listener: Reporter) -> None:
        """Say what is left out, a line a kind."""
        for title, tallies in (("not read", self._left), ("read as well", self._notes)):
            if tallies:
                lines = [f"  {_line(kind, tally)}" for kind, tally in tallies.items()]
                listener.message("\n".join([f"{self._where}: {title}", *lines]))


def _line(kind: str, tally: _Tally) -> str:
    what = f"{counted(kind, tally.count)}{tally}"
    return f"{what}, the first is {tally.first}" if tally.count > 1 else f"{what}: {tally.first}"


def counted(kind: str, count: int) -> str:
    """A number of things of a kind such as "folder(s) without images"."""
    return f"{count} {kind.replace('(s)', 's' if count > 1 else '')}"
