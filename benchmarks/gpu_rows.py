"""The rows of `benchmarks.gpu`: printed as they come, and after each all are written."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from datetime import date
from operator import methodcaller
from pathlib import Path

import torch

from benchmarks.gpu_steps import Bench, Row
from promptbench.errors import OutputError
from promptbench.storage.files import write_atomically


class Kept:
    """All rows so far, in `gpu.json` and, as a table of each measurement, in `gpu.md`.

    Raises:
        OutputError: the folder cannot be written. Later that is only said: rows are printed, too.
    """

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.rows: list[Row] = []
        self.paths = folder / "gpu.json", folder / "gpu.md"
        self.unwritten = False
        self._about = {
            "device": device_name(bench.device),
            "torch": torch.__version__,
            "date": date.today().isoformat(),
            "small": bench.small,
        }
        self._write()  # also: rows of an earlier call are not taken for those of this one

    def add(self, *rows: Row) -> None:
        """Print rows, one line of JSON each, when they are kept."""
        self.rows += rows
        self.write()
        for row in rows:
            print(json.dumps(row), flush=True)

    def write(self) -> None:
        """Write both files; the measurements go on without them."""
        try:
            self._write()
        except OutputError as error:
            if not self.unwritten:
                print(f"{error}; rows are printed all the same", file=sys.stderr, flush=True)
            self.unwritten = True
        else:
            self.unwritten = False

    @property
    def has_failed(self) -> bool:
        """Whether a measurement or a test has failed, or rows are not written."""
        failed = ("failed" in row or row.get("passed") is False for row in self.rows)
        return self.unwritten or any(failed)

    def _write(self) -> None:
        parts = [", ".join(f"{name}: {value}" for name, value in self._about.items())]
        for name in dict.fromkeys(row["measurement"] for row in self.rows):
            shown = [row for row in self.rows if row["measurement"] == name]
            parts += [f"## {name}", table(shown)]
        texts = json.dumps({**self._about, "rows": self.rows}, indent=1), "\n\n".join(parts)
        for path, text in zip(self.paths, texts, strict=True):
            write_atomically(path, methodcaller("write", f"{text}\n".encode()))


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()


def table(rows: Sequence[Row]) -> str:
    """Rows as a table in Markdown, with a column for each name that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != "measurement"))
    lines = [names, ["---"] * len(names)]
    lines += [["" if row.get(name) is None else str(row[name]) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
