"""What a run ran on: versions, hardware, revision."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

from promptbench.records import Environment
from promptbench.running.lab.compute import Compute
from promptbench.support import processes, version

PACKAGES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "gin-config",
    "webdataset",
    "numpy",
    "pillow",
    "pydantic",
    "safetensors",
)


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Installed versions; packages that are absent are left out."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def git_revision() -> str | None:
    """The checkout's commit, with "+changes" if files differ; None without one, or if git fails."""
    root = version.PACKAGE.parent
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if dirty else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=root,
        check=True,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=30,
    )
    return done.stdout.strip()


def peak_memory_mb(compute: Compute) -> float:
    """Peak memory in MiB: of the GPU since its last reset, or of this process."""
    if compute.device.type == "cuda":
        return torch.cuda.max_memory_allocated(compute.device) / 2**20
    return processes.peak_memory() / 2**20


def describe(compute: Compute) -> Environment:
    """The environment of a record."""
    return Environment(
        promptbench=version.__version__,
        git_revision=git_revision(),
        python=platform.python_version(),
        packages=versions(),
        platform=platform.platform(),
        device=compute.device_name,
        precision=compute.precision,
        threads=torch.get_num_threads(),
        peak_memory_mb=round(peak_memory_mb(compute), 1),
    )
