"""Packages for plugins of one's own, and repositories of results, from the templates beside this
file."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from promptbench.core.api_version import API_VERSION
from promptbench.core.registry import FROM_FILES
from promptbench.errors import UserError
from promptbench.support.version import __version__

# template -> path inside the new package's folder; a kind without one of them has no such file
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "init.py": "promptbench_${name}/__init__.py",
    "${kind}.py": "promptbench_${name}/${name}.py",
    "${kind}.gin": "promptbench_${name}/${name}.gin",
    "${kind}.space.toml": "promptbench_${name}/${name}.space.toml",
    "test_${kind}.py": "tests/test_${name}.py",
}
# the same of a repository of accepted records
_RESULTS = {
    "README.md": "README.md",
    "workflow.yml": ".github/workflows/leaderboard.yml",
    "gitattributes": ".gitattributes",
    "gitignore": ".gitignore",
    "keep": "results/.gitkeep",
}


def write_results_repository(folder: Path) -> list[Path]:
    """Write a repository that keeps accepted records; nothing that exists is overwritten.

    Returns:
        The files that were written.

    Raises:
        UserError: one of its files exists, or cannot be written.
    """
    home = folder.expanduser()
    targets = {template: home / path for template, path in _RESULTS.items()}
    for path in targets.values():
        if path.exists():
            raise UserError(f"{path} exists already; name a new folder, or remove it")
    try:
        for template, path in targets.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = _template(f"results/{template}").read_text(encoding="utf-8")
            filled = Template(text).substitute(version=__version__)
            path.write_text(filled, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"cannot write {home}: {error.strerror or error}") from error
    return list(targets.values())


def write_package(kind: str, name: str, parent: Path) -> Path:
    """Write a working package for a plugin of a kind; nothing that exists is overwritten.

    Returns:
        The package's folder, `promptbench-<name>` in `parent`.

    Raises:
        UserError: a name that cannot be a module's or is taken, or a folder that exists or cannot
            be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(
            f"{name!r} cannot name a {kind}: use lower-case letters, digits and underscores, "
            f"starting with a letter, such as my_{kind}"
        )
    if any(name in own.names() for own in FROM_FILES if own.kind == kind):
        raise UserError(f"there is a {kind} {name!r} already; choose another name")
    folder = parent.expanduser() / f"promptbench-{name.replace('_', '-')}"
    if folder.exists():
        raise UserError(f"{folder} exists already; remove it or choose another folder with --in")
    words = {
        "kind": kind,
        "name": name,
        "dashed": name.replace("_", "-"),
        "cls": "".join(part.capitalize() for part in name.split("_")),
        "api": str(API_VERSION),
        "version": __version__,
    }
    try:
        for template, path in _FILES.items():
            source = _template(f"{kind}/{Template(template).substitute(words)}")
            if source.is_file():
                target = folder / Template(path).substitute(words)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(Template(source.read_text()).substitute(words))
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def _template(name: str) -> Traversable:
    return resources.files(__package__) / "templates" / f"{name}.txt"
