"""What is installed is what lies in the folders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
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


def test_all_is_every_extra_that_is_for_users() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    (asked,) = extras["all"]
    named = re.fullmatch(r"promptbench-vlm\[(.+)\]", asked)
    assert named is not None
    assert set(named[1].split(",")) == extras.keys() - {"all", "dev", "docs", "versions"}


def test_a_strict_editable_install_shows_type_checkers_every_module(tmp_path: Path) -> None:
    """Checkers follow no import hooks, by which a plain `pip install -e .` finds the folders beside
    promptbench/; with editable_mode=strict all of them lie in one tree."""
    tree = tmp_path / "checkout"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", *map(str, set(map(_top, FOLDERS)))):
        (tree / name).symlink_to(ROOT / name)
    make = (
        "from setuptools.build_meta import build_editable as build;"
        "build('.', {'editable_mode': 'strict'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", make],
        cwd=tree,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (found,) = (tree / "build").glob("__editable__*")
    missing = [
        module
        for package in SETUPTOOLS["packages"]
        for module in folder_of(package).glob("*.py")
        if not found.joinpath(*package.split("."), module.name).is_file()
    ]
    assert missing == []
    assert (found / "promptbench" / "py.typed").is_file()


def _top(package: str) -> Path:
    """The folder of the checkout in which a mapped package lies."""
    return FOLDERS[package].relative_to(ROOT)
