"""A dataset of a user's own, as `promptbench data` makes it of a folder of images."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from promptbench.cli import main
from tests.data.toy import png


def prepare_own(name: str, photos: Path, root: Path) -> None:
    """Draw some images into `photos`, write their card and prepare them under `root`."""
    for split in ("train", "test"):
        for label, folder in enumerate(("one", "two")):
            for number in range(3):
                path = photos / split / folder / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png(100 * label + 20 * number + len(split)))
    for command in (
        ("data", "new", name, "--source", f"folder:{photos}"),
        ("data", "prepare", name, "--out", str(root)),
    ):
        done = CliRunner().invoke(main, list(command), catch_exceptions=False)
        assert done.exit_code == 0, done.output
