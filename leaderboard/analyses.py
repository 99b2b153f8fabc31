"""Analyses on the pages of methods: what `promptbench analyze` wrote, copied to the site."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptbench.leaderboard import known

from promptbench.analysis import results
from promptbench.prose import counted
from promptbench.safe_text import printable

FOLDER = "analyses"


def collect(folders: Sequence[Path], out: Path) -> dict[str, list[dict[str, Any]]]:
    """Copy all analyses under `folders` into the site `out`; what the page of each method shows.

    Raises:
        UserError: a file that is no analysis of this version.
    """
    shown: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for folder in folders:
        for path in sorted(p for kind in results.TITLES for p in folder.glob(f"**/{kind}.json")):
            entry = _copied(path, path.relative_to(folder).parent, out)
            for method in entry["methods"]:
                shown[method].append(entry)
    return {
        method: sorted(entries, key=lambda entry: len(entry["methods"]))  # its own come first
        for method, entries in shown.items()
    }


def _copied(path: Path, place: Path, out: Path) -> dict[str, Any]:
    found = results.read(path)
    target = out / FOLDER / place
    target.mkdir(parents=True, exist_ok=True)
    # A name in the file is a file's name beside it, never a path.
    figures = [path.with_name(Path(name).name) for name in found.figures]
    files = [each for each in (path, path.with_suffix(".csv"), *figures) if each.is_file()]
    for file in files:
        shutil.copyfile(file, target / file.name)
    href = f"{FOLDER}/{place.as_posix()}/"
    seeds = len({run.seed for run in found.runs})
    known_suite = found.suite in known.suite_names()
    return {
        "title": printable(found.title),
        "about": printable(
            f"{', '.join(dict.fromkeys(run.title for run in found.runs))}: {found.protocol}, "
            f"{found.backbone}, {counted(seeds, 'seed')}"
        ),
        "banner": known.suite(found.suite).banner if known_suite else "",
        "methods": found.methods,
        "pictures": [href + file.name for file in files if file.suffix == ".png"],
        "files": [(file.name, href + file.name) for file in files],
    }
