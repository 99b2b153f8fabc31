"""The tracker that docs/extending/tracker.md shows, as a package of its own."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def shown(language: str) -> str:
    """The only block of code in a language of docs/extending/tracker.md."""
    page = (ROOT / "docs" / "extending" / "tracker.md").read_text()
    found = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    (block,) = found
    return str(block)


def install(folder: Path) -> str:
    """Write the package into a folder of `sys.path`, as pip leaves it; returns the name."""
    pattern = r'\[project\.entry-points\."(.+)"\]\n(\w+) = "(\w+)\.(\w+)"\n'
    found = re.fullmatch(pattern, shown("toml"))
    assert found is not None
    group, name, package, module = found.groups()
    package += "_" + re.sub(r"\W", "_", folder.name)  # imported once only
    (folder / package).mkdir(parents=True)
    (folder / package / f"{module}.py").write_text(shown("python"))
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {package}.{module}\n")
    return name
