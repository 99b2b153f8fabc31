"""The commands of the documentation, block by block."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "leaderboard" / "results" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
_BLOCK = re.compile(
    r"(?:^<!-- (?:needs: (?P<needs>[^\n]+)|run by: (?P<by>[^\n]+)) -->\n)?"
    r"^ *```bash\n(?P<text>.*?)^ *```",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """One block of bash, with what stands in a comment above it, if anything does.

    Attributes:
        needs: what it takes that a test does not have.
        by: the test, of its own, that runs it.
    """

    needs: str | None
    by: str | None
    commands: tuple[tuple[str, ...], ...]

    @property
    def runs_here(self) -> bool:
        return self.needs is None and self.by is None


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of bash of a page, comments left out."""
    return [
        Block(found["needs"], found["by"], tuple(_commands(found["text"])))
        for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _commands(text: str) -> list[tuple[str, ...]]:
    lines = text.replace("\\\n", " ").splitlines()
    words = [tuple(shlex.split(line, comments=True)) for line in lines]
    return [line[: line.index(">")] if ">" in line else line for line in words if line]
