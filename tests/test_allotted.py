"""What this process may use: affinity, and limits of control groups of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptbench.planning.machine import Machine
from promptbench.support import allotted


@pytest.fixture(name="groups")
def control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 cores without limits, of which a process is in the group `a/b`."""
    monkeypatch.setattr(allotted, "CGROUPS", tmp_path / "cgroup")
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    monkeypatch.setattr(allotted, "_OWN", own)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    (tmp_path / "cgroup/a/b").mkdir(parents=True)
    return tmp_path / "cgroup"


def test_without_limits_it_is_the_affinity(groups: Path) -> None:
    assert allotted.cores() == 64 and allotted.memory() > 0
    (groups / "a/b/cpu.max").write_text("max 100000\n")
    (groups / "a/b/memory.max").write_text("max\n")
    assert allotted.cores() == 64 and allotted.memory() > 0


@pytest.mark.parametrize(("quota", "cores"), [("400000", 4), ("250000", 3), ("50000", 1)])
@pytest.mark.parametrize("place", ["", "a", "a/b"])
def test_the_tightest_group_counts(groups: Path, place: str, quota: str, cores: int) -> None:
    (groups / place / "cpu.max").write_text(f"{quota} 100000\n")
    (groups / place / "memory.max").write_text("5000\n")
    (groups / place / "memory.current").write_text("2000\n")
    assert allotted.cores() == cores and allotted.memory() == 3000


def test_what_a_group_keeps_of_files_is_free(groups: Path) -> None:
    (groups / "a/memory.max").write_text("5000\n")
    (groups / "a/memory.current").write_text("4000\n")
    (groups / "a/memory.stat").write_text("anon 2500\nfile 1500\ninactive_file 700\n")
    assert allotted.memory() == 1700


def test_version_1(groups: Path, tmp_path: Path) -> None:
    (tmp_path / "own").write_text("3:memory:/m\n2:cpu,cpuacct:/c\n1:name=systemd:/s\n")
    (groups / "cpu,cpuacct/c").mkdir(parents=True)
    (groups / "memory/m").mkdir(parents=True)
    cpu, memory = groups / "cpu,cpuacct/c", groups / "memory/m"
    (cpu / "cpu.cfs_quota_us").write_text("-1\n")
    (cpu / "cpu.cfs_period_us").write_text("100000\n")
    (memory / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert allotted.cores() == 64 and allotted.memory() > 0
    (cpu / "cpu.cfs_quota_us").write_text("200000\n")
    (memory / "memory.limit_in_bytes").write_text("1000\n")
    (memory / "memory.usage_in_bytes").write_text("2000\n")
    assert allotted.cores() == 2 and allotted.memory() == 0


def test_threads_are_as_many_as_cores_shared_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, processes, expected in ((12, 1, 12), (12, 4, 3), (12, 5, 2), (2, 8, 1), (96, 1, 16)):
        monkeypatch.setattr(allotted, "cores", lambda cores=cores: cores)
        assert allotted.threads(processes) == expected
    assert Machine().workers is None and Machine(workers=0).workers == 0
