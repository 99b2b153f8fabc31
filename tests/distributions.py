"""Packages of somebody else, as pip would have installed them."""

from __future__ import annotations

from pathlib import Path


def distribution(
    folder: Path, name: str, module: str, source: str, group: str = "promptbench.methods"
) -> None:
    """An installed package with an entry point, as pip would leave it."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}\n")
