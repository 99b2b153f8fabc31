"""`make soak`: kills over a demo grid and inputs for every parser, more than a test suite has time
for. Prints the numbers and keeps them, with the date, in docs/reliability.md."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults import driver
from tests.fuzz import campaign

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
_MARK = "<!-- written by make soak -->"
GRID: dict[str, Any] = {
    "methods": "coop,promptsrc,mmrlpp",
    "protocols": "base_to_new",
    "plugin": [],
    "shots": 2,
    "seeds": [1],
    "set": [],
    "gin": [],
}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    tally: driver.Tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=220)
    parser.add_argument("--inputs", type=int, default=500, help="per parser")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        os.environ["PROMPTBENCH_CACHE"] = str(Path(name) / "cache")
        rows = list(_kills(Path(name), given.kills, given.seed))
    tried = campaign.run(given.inputs)
    text = _table(rows, tried)
    print(text)
    _keep(text)
    wrong = [row.tally for row in rows if row.tally.lost or row.tally.duplicated]
    assert not wrong and not any(row.tally.differing for row in rows), wrong


def _kills(folder: Path, kills: int, seed: int) -> Iterator[Row]:
    few = folder / "few.gin"
    few.write_text("Recipe.epochs = 3\nRecipe.batch_size = 2\n")
    grid = GRID | {"gin": [few]}
    driver.run(folder / "undisturbed", **grid)
    reference = driver.numbers(folder / "undisturbed")
    print(f"undisturbed: {len(reference)} records", flush=True)
    parts = (
        ("one run", 0.5, {"longest": 1.5}),
        ("two runs of the same grid at once", 0.4, {"processes": 2, "longest": 1.5}),
        ("one run with --jobs 2, it or its workers", 0.1, {"jobs": 2, "longest": 10.0}),
    )
    for what, share, how in parts:
        count = max(round(kills * share), 1)
        place = partial(_folder, folder / what)
        tally = driver.kill_at_random(place, count, reference, seed, **grid, **how)
        print(f"{what}: {tally}", flush=True)
        yield Row(what, tally)


def _folder(base: Path, number: int) -> Path:
    return base / str(number)


def _table(rows: list[Row], tried: dict[str, int]) -> str:
    day = datetime.datetime.now(datetime.UTC).date()
    lines = [
        f"{day}, Python {platform.python_version()}, {os.cpu_count()} cores:",
        "",
        "| killed at random moments | kills | grids | records | lost | duplicated | differing |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        t = row.tally
        facts = (t.kills, t.grids, t.cells, t.lost, t.duplicated, len(t.differing))
        lines.append(f"| {row.what} | {' | '.join(map(str, facts))} |")
    total = sum(row.tally.kills for row in rows)
    lines += [
        "",
        f"{total} kills.",
        "",
        "| input | tried | neither right nor a clear error |",
        "|---|---:|---:|",
        *(f"| {name} | {count} | 0 |" for name, count in tried.items()),
    ]
    return "\n".join(lines) + "\n"


def _keep(text: str) -> None:
    before, mark, _ = DOCUMENT.read_text().partition(_MARK)
    assert mark, f"{DOCUMENT} has lost its mark"
    DOCUMENT.write_text(f"{before}{mark}\n\n{text}")


if __name__ == "__main__":
    main()
