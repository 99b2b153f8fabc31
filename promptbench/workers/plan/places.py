"""What lies in the folder of a plan, `.work/ID` below the output folder.

Nothing heavy is imported here: those who only look on need neither torch nor plugins.
"""

from __future__ import annotations

from pathlib import Path

WORK = ".work"
PLAN = "plan.json"  # what workers carry out
CELLS = "cells.json"  # the cells that it came to, for those who look on
JOBS = "jobs.json"  # the engine that was asked, and its names of the jobs
CANCELLED = "cancelled"  # asks workers to stop
REFUSALS = "refusals"  # a file from each worker that could not take part


def folder_of(out: Path, name: str) -> Path:
    """The folder of a plan."""
    return out / WORK / name


def folders(out: Path) -> list[Path]:
    """The folders of all plans of an output folder, the oldest first."""
    return sorted(path.parent for path in (out / WORK).glob(f"*/{PLAN}"))
