"""What Windows lacks is not needed: tried with it taken away, since no Windows is at hand here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from promptbench.support import processes
from tests.like_windows import ABSENT, NOT_IN_OS, NOT_IN_SIGNAL, THEN

ROOT = Path(__file__).parent.parent
RUN = ["run", "--method", "coop", "--protocol", "few_shot", "--datasets", "counts"]
FEW = ["--shots", "1", "--seeds", "1", "--limit", "8", "--set", "Recipe.epochs=1", "--out"]


def command(*words: str, cwd: Path = ROOT) -> str:
    """What a command prints there; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.like_windows", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_is_imported() -> None:
    """But for those whose packages are extras."""
    extras = ("ray", "submitit", "tensorboard", "mlflow", "onnx", "transformers", "datasets")
    failed = [line for line in command("import").splitlines() if line]
    assert [line for line in failed if not any(extra in line for extra in extras)] == []


def test_a_run_its_table_and_its_site(tmp_path: Path) -> None:
    runs, site = str(tmp_path / "runs"), tmp_path / "site"
    asked = [["ls", "methods"], [*RUN, *FEW, runs], ["report", runs], ["validate", runs]]
    asked.append(["leaderboard", "build", runs, "--out", str(site)])
    said = command(*f" {THEN} ".join(" ".join(words) for words in asked).split(" "))
    for words in ("clipadapter", "CoOp (epochs = 1", "record.json"):
        assert words in said
    assert (site / "index.html").is_file()


def test_what_is_taken_away_is_missed() -> None:
    """Otherwise the tests above would say nothing."""
    asks = "import os, signal, sys; print(hasattr(os, 'preadv'), hasattr(signal, 'SIGHUP'))"
    text = f"""
import types
from tests.like_windows import take_away
take_away()
asks = types.ModuleType("promptbench.asks").__dict__
exec({asks!r}, asks)
try:
    exec("import fcntl", asks)
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["False False", "No module named 'fcntl' on Windows"]
    assert "fcntl" in ABSENT and "preadv" in NOT_IN_OS and "SIGHUP" in NOT_IN_SIGNAL


def test_processes_that_are_there_and_that_are_not() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert processes.exists(os.getpid()) and not processes.exists(ended.pid)
    assert not processes.exists(2**80)
    assert processes.exists(1)  # another user's, where the tests are not root


def test_memory_is_in_bytes() -> None:
    assert 2**24 < processes.peak_memory() < 2**44
    assert processes.free_memory() == 0 or 2**24 < processes.free_memory() < 2**50


@pytest.mark.skipif(sys.platform == "win32", reason="it is what Windows lacks")
def test_names_that_windows_lacks_are_names_here() -> None:
    """A misspelled one would take nothing away."""
    assert [name for name in NOT_IN_OS if not hasattr(os, name)] in ([], ["posix_fadvise"])


def test_only_one_place_asks_with_signal_0() -> None:
    """On Windows os.kill ends the process that is asked about."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "grep", "-lE", r"os\.kill\(.*, 0\)", "--", "*.py", ":!tests"],
        capture_output=True,
        text=True,
    )
    assert listed.stdout.split() == ["promptbench/support/processes.py"]
