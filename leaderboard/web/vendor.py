"""Fetching the libraries that are bundled with the site (`make vendor`).

`assets/vendor/vendor.json` names packages, versions and files. They come from the registry that npm
is set up for, by version; the licences lie beside them. To update one, change its version there.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
from importlib import resources
from pathlib import Path

from promptbench.errors import UserError


def fetch(folder: Path) -> list[Path]:
    """Fetch every file that `folder`/vendor.json names; the files written.

    Raises:
        UserError: npm is missing or cannot give a package, or a package lacks a file.
    """
    written = []
    wanted = json.loads((folder / "vendor.json").read_text(encoding="utf-8"))
    for package, entry in wanted.items():
        with tempfile.TemporaryDirectory() as scratch:
            archive = _pack(f"{package}@{entry['version']}", Path(scratch))
            for inside, name in entry["files"].items():
                (folder / name).write_bytes(_member(archive, f"package/{inside}"))
                written.append(folder / name)
    return written


def _pack(wanted: str, scratch: Path) -> Path:
    try:
        subprocess.run(
            ["npm", "pack", "--silent", wanted], cwd=scratch, check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"npm cannot fetch {wanted}: {error}") from error
    return next(scratch.glob("*.tgz"))


def _member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        try:
            file = tar.extractfile(name)
        except KeyError as error:
            raise UserError(f"{archive.name} has no file {name}") from error
        if file is None:
            raise UserError(f"{name} in {archive.name} is not a file")
        return file.read()


if __name__ == "__main__":
    for path in fetch(
        Path(str(resources.files("promptbench.leaderboard.web"))) / "assets" / "vendor"
    ):
        print(path.name)
