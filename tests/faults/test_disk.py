"""Disks that are full or read-only: a sentence, and nothing that was finished is harmed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from promptbench.errors import OutputError, UserError
from promptbench.storage import files
from tests.faults import driver
from tests.short_form import first

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a small disk in memory; needs root."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")

    def mounted(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        return disk

    yield mounted
    subprocess.run(["umount", str(disk)], capture_output=True)


@pytest.mark.parametrize("free", first(1, [24, 8, 60]))
def test_a_full_disk_stops_the_run_and_more_room_lets_it_go_on(
    mount: Mount, undisturbed: dict[str, Any], free: int
) -> None:
    """`free` KiB: full in the first training, while it predicts, after some cells."""
    disk = mount("size=1m")
    filler = disk / "filler"
    filler.write_bytes(b"x" * (2**20 - free * 1024))
    with pytest.raises(OutputError, match="free some space and run the same command again"):
        driver.run(disk / "runs")
    assert not list(disk.rglob("failed.log"))  # the disk's fault is not the cell's
    filler.unlink()
    driver.run(disk / "runs")
    assert driver.numbers(disk / "runs") == undisturbed


@pytest.mark.long
def test_a_full_disk_stops_workers_as_well(mount: Mount) -> None:
    disk = mount("size=1m")
    (disk / "filler").write_bytes(b"x" * (2**20 - 24 * 1024))
    with pytest.raises(UserError, match="free some space"):
        driver.run(disk / "runs", jobs=2)


def test_a_read_only_disk_is_refused_before_anything_is_computed(mount: Mount) -> None:
    disk = mount("size=64k,ro")
    with pytest.raises(OutputError, match=r"cannot be written \(Read-only.*another with --out"):
        driver.run(disk / "runs")


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        driver.run(tmp_path / "runs")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, lambda file: file.write(b"old"))

    def broken(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        files.write_atomically(path, broken)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_line_after_a_torn_one_stands_alone(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log.jsonl"
    for line in ("one", "zwölf"):
        files.append(log, line)
    assert log.read_bytes() == "one\nzwölf\n".encode()
    log.write_bytes(b"one\ntor")  # killed in mid-write
    files.append(log, "three")
    files.append(log, "four")
    assert log.read_bytes() == b"one\ntor\nthree\nfour\n"


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    kept, left = tmp_path / ".gitignore", tmp_path / ".record.json-a1b2c3d_"
    for path in (kept, left):
        path.write_text("")
    files.sweep(tmp_path, age=3600)
    assert left.exists()
    files.sweep(tmp_path)
    assert kept.exists() and not left.exists()
