"""`make versions`: the package with other versions of Python and of what it depends on.

    python -m tests.versions --python 3.11 --python 3.13 --dependencies lowest --dependencies newest

Each combination gets an environment of its own (uv, the extra `versions`), into which the wheel is
installed with the lowest versions that pyproject.toml allows, those of constraints.txt, or the
newest. There, outside of the checkout, the commands of a first hour are run, and with `--tests` the
tests. Prints a Markdown table; the exit code is 1 if something failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("wandb", "probe", "plot", "dataframe")
KINDS = {
    "lowest": ("--resolution", "lowest-direct"),
    "constraints": ("--constraint", "constraints.txt"),
    "newest": (),
}
SHOWN = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow", "pydantic")
_IMPORT = """
import importlib, pkgutil, promptbench
for found in pkgutil.walk_packages(promptbench.__path__, "promptbench."):
    if not found.name.endswith("__main__"):
        try:
            importlib.import_module(found.name)
        except ImportError as error:
            if error.name is None or error.name.startswith("promptbench"):
                raise  # other packages are extras
"""
_FEW = ("--datasets", "counts", "--seeds", "1", "--limit", "16", "--set", "Recipe.epochs=1")
_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("run", "--method", "zeroshot,coop,alignednorm", "--protocol", "base_to_new", *_FEW),
    ("report",),
    ("validate", "runs"),
    ("leaderboard", "build", "runs", "--out", "site"),
    ("new", "method", "my_method"),
    ("check", "promptbench-my-method/promptbench_my_method/my_method.py"),
)


@dataclass(frozen=True)
class Tried:
    """One combination: the versions that were installed, and what failed with which last words."""

    python: str
    kind: str
    versions: dict[str, str]
    failed: str | None
    seconds: float

    def row(self) -> str:
        """Make a row of the table."""
        versions = " | ".join(self.versions.get(name, "") for name in SHOWN)
        result = "passes" if self.failed is None else self.failed.replace("|", "\\|")
        return f"| {self.python} | {self.kind} | {versions} | {result} | {self.seconds:.0f} |"


class Failed(Exception):
    """A step of a combination did not succeed."""


def called(command: Sequence[str | Path], where: Path, what: str) -> str:
    """Run a command; what it prints.

    Raises:
        Failed: its exit code is not 0; with the last line of what it says.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=where, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        raise Failed(f"{what}: {said[-1][:200]}")
    return done.stdout


def tried(python: str, kind: str, wheel: Path, tests: Sequence[str], folder: Path) -> Tried:
    """One combination, in an empty folder."""
    began, place = time.monotonic(), folder / "environment"
    versions: dict[str, str] = {}
    try:
        _install(python, kind, wheel, place)
        versions = _versions(place, folder)
        _use(place, folder, tests)
    except Failed as failed:
        return Tried(python, kind, versions, str(failed), time.monotonic() - began)
    return Tried(python, kind, versions, None, time.monotonic() - began)


def _install(python: str, kind: str, wheel: Path, place: Path) -> None:
    uv = (sys.executable, "-m", "uv")
    called([*uv, "venv", "--quiet", "--python", python, place], ROOT, f"Python {python}")
    extras = [word for extra in (*EXTRAS, "dev") for word in ("--extra", extra)]
    asked = place / "asked.txt"
    compiled = [*uv, "pip", "compile", "--quiet", "pyproject.toml", *extras, *KINDS[kind]]
    called([*compiled, "--python", place, "--output-file", asked], ROOT, "resolve")
    install = [*uv, "pip", "install", "--quiet", "--python", place]
    called([*install, "--requirement", asked], ROOT, "install dependencies")
    called([*install, "--no-deps", wheel], ROOT, "install the wheel")


def _versions(place: Path, folder: Path) -> dict[str, str]:
    text = (
        "import importlib.metadata as m\n"
        f"print(*(m.version(name) for name in {SHOWN!r}), sep='\\n')"
    )
    lines = called([place / "bin" / "python", "-c", text], folder, "versions").split()
    return dict(zip(SHOWN, lines, strict=True))


def _use(place: Path, folder: Path, tests: Sequence[str]) -> None:
    python, empty = place / "bin" / "python", folder / "empty"
    empty.mkdir()
    called([python, "-W", "ignore", "-c", _IMPORT], empty, "import every module")
    for command in _COMMANDS:
        called([place / "bin" / "promptbench", *command], empty, f"promptbench {command[0]}")
    if tests:
        usual = ("-q", "-n", "auto", "-m", "not cluster and not long")
        called([python, "-m", "pytest", *usual, *tests], ROOT, "tests")


def table(rows: Sequence[Tried]) -> str:
    """All of them in Markdown."""
    head = ("Python", "dependencies", *SHOWN, "result", "seconds")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(row.row() for row in rows)])


def main(told: Callable[[str], None] = print) -> int:
    """Try what the command line says; 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", help="a version or a path; 3.11, 3.12, 3.13")
    parser.add_argument("--dependencies", action="append", choices=list(KINDS))
    parser.add_argument("--tests", action="append", default=[], help="paths for pytest")
    parser.add_argument("--markdown", type=Path, help="a file for the table")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="versions-") as name:
        built = Path(name) / "wheel"
        # By way of the source archive: a folder `build` here keeps modules that are gone.
        called([sys.executable, "-m", "build", "--outdir", built], ROOT, "build")
        (wheel,) = built.glob("*.whl")
        for python in given.python or ("3.11", "3.12", "3.13"):
            for kind in given.dependencies or KINDS:
                with tempfile.TemporaryDirectory(prefix="combination-", dir=name) as folder:
                    rows.append(tried(python, kind, wheel, given.tests, Path(folder)))
                told(rows[-1].row())
    if given.markdown is not None:
        given.markdown.write_text(table(rows) + "\n", encoding="utf-8")
    told(table(rows))
    return int(any(row.failed is not None for row in rows))


if __name__ == "__main__":
    sys.exit(main())
