"""What is installed is what lies in the folders."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS = {name: ROOT / place for name, place in SETUPTOOLS["package-dir"].items()}


def folder_of(package: str) -> Path:
    """Where the sources of a package lie: in the nearest folder that is mapped."""
    home = max((n for n in FOLDERS if f"{package}.".startswith(f"{n}.")), key=len)
    return FOLDERS[home].joinpath(*package.removeprefix(home).split("."))


def test_every_package_is_installed() -> None:
    """A folder that the list lacks works in a checkout and is missing from the wheel."""
    found = {
        ".".join([name, *module.parent.relative_to(folder).parts])
        for name, folder in FOLDERS.items()
        for module in folder.rglob("__init__.py")
    }
    assert found - set(SETUPTOOLS["packages"]) == set()


def test_every_installed_package_has_a_folder() -> None:
    assert [name for name in SETUPTOOLS["packages"] if not folder_of(name).is_dir()] == []


def test_the_top_level_holds_what_a_reader_expects() -> None:
    """Output of a run that was committed by mistake would lie beside the packages."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False
    )
    folders = {line.split("/")[0] for line in listed.stdout.splitlines() if "/" in line}
    assert folders <= {".ci", ".github", *(home.name for home in FOLDERS.values())} | {
        "benchmarks",
        "docs",
        "tests",
    }
