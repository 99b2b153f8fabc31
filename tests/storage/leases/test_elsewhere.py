"""Leases of other machines and containers: judged by their beats, not by clocks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from promptbench.storage import leases
from promptbench.storage.leases import LeaseLost, files, heartbeat
from promptbench.storage.leases.files import look
from promptbench.storage.leases.heartbeat import Heart, Watcher
from promptbench.storage.leases.holder import Holder
from tests.storage.leases.holders import elsewhere, left


class Elsewhere:
    """A lease of another machine, and what a watcher here makes of it as time goes by."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.now = path, 1000.0
        assert files.create(path, elsewhere())
        self.watcher = Watcher(Heart())
        monkeypatch.setattr(heartbeat.time, "monotonic", lambda: self.now)

    def is_stale_after(self, beats: float) -> bool:
        self.now += beats * heartbeat.BEAT
        found = look(self.path)
        assert found is not None
        return self.watcher.is_stale(found)

    def age(self, seconds: float) -> None:
        """The last beat was so long ago by the file system's clock."""
        then = files.clock(self.path.parent) - seconds
        os.utime(self.path, (then, then))


@pytest.fixture
def there(path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    return Elsewhere(path, monkeypatch)


def test_another_machine_s_lease_is_stale_after_six_missed_beats(there: Elsewhere) -> None:
    assert not there.is_stale_after(0)
    there.age(5.9 * heartbeat.BEAT)
    assert not there.is_stale_after(0)
    assert not there.is_stale_after(2.5)  # seen since, and not old enough
    there.age(6.1 * heartbeat.BEAT)
    assert not there.is_stale_after(0)
    assert not there.is_stale_after(1.9)  # old, but who knows what its clock did
    assert there.is_stale_after(0.2)


def test_a_node_s_clock_that_is_an_hour_off_changes_nothing(
    there: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    for off in (-3600, 3600):
        monkeypatch.setattr(time, "time", lambda off=off: real() + off)
        assert not there.is_stale_after(0) and not there.is_stale_after(3)
        os.utime(there.path)


@pytest.mark.parametrize("off", [-3600, 3600])
def test_files_that_are_stamped_by_a_wrong_clock_are_judged_by_what_is_seen(
    there: Elsewhere, off: float
) -> None:
    for beat in range(20):
        there.age(-off - beat)
        assert not there.is_stale_after(1)
    assert there.is_stale_after(6)


def test_the_clock_is_that_of_a_file_touched_now(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exclusive creation over NFS leaves something else in the times of a file."""
    real = os.open

    def odd(name: Path, *how: Any) -> int:
        descriptor = real(name, *how)
        os.utime(name, (1, 1))
        return descriptor

    (path.parents[1] / "now").touch()
    now = (path.parents[1] / "now").stat().st_mtime
    monkeypatch.setattr(os, "open", odd)
    assert abs(leases.clock(path.parents[1]) - now) < 60 and left(path) == []


def test_a_lease_that_is_not_whole_is_old_before_it_is_free(path: Path) -> None:
    for content in (b"", b"{", b"[]", b'{"pid": 1}', b'{"pid": "x"}', b"\xff\0"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        assert leases.is_held(path)
        then = time.time() - heartbeat.MISSED * heartbeat.BEAT - 1
        os.utime(path, (then, then))
        with leases.claimed(path) as mine:
            assert mine is not None
        assert left(path) == []


def test_a_heart_beats_until_the_last_lease_is_given_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT", 0.01)
    with leases.claimed(path) as mine, leases.claimed(path.with_name("training-1")):
        assert mine is not None
        os.utime(path, (0, 0))
        limit = time.monotonic() + 10
        while path.stat().st_mtime == 0 and time.monotonic() < limit:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0
        path.unlink()
        assert files.create(path, elsewhere())
        os.utime(path, (0, 0))
        time.sleep(0.05)
        assert path.stat().st_mtime == 0  # another's is not kept alive
    limit = time.monotonic() + 10
    while any(thread.name == "leases" for thread in threading.enumerate()):
        assert time.monotonic() < limit
        time.sleep(0.01)


def taken_over(path: Path, by: str = "theirs") -> None:
    path.unlink()
    assert files.create(path, elsewhere(by))


def test_a_worker_that_has_lost_its_lease_is_told_and_leaves_the_other_s_alone(path: Path) -> None:
    out = path.parents[1]
    with leases.claimed(path), leases.claimed(path.with_name("training-1")):
        leases.refuse_lost(out)
        taken_over(path)
        with pytest.raises(LeaseLost, match=r"another worker, node7 pid 41, Slurm job 9_3, has"):
            leases.refuse_lost(out)
        leases.refuse_lost(out / "elsewhere")
    assert left(path) == [path.name]
    with leases.claimed(path.with_name("training-1")):
        path.with_name("training-1").unlink()
        with pytest.raises(LeaseLost, match=r"another worker has taken it over"):
            leases.refuse_lost(out)


# In a second list of processes, as in a container: a worker that is stopped for longer than the
# limit, loses its lease, and is woken up again.
CONTAINED = """
import sys
from pathlib import Path
from promptbench.storage import leases
from promptbench.storage.leases import heartbeat
heartbeat.BEAT = 0.1
out = Path(sys.argv[1])
with leases.claimed(leases.place(out, "cell", "0" * 64)) as mine:
    print(mine is not None, flush=True)
    sys.stdin.readline()
    try:
        leases.refuse_lost(out)
    except leases.LeaseLost as lost:
        print(lost, flush=True)
    else:
        print("still held", flush=True)
"""


def contained(out: Path) -> subprocess.Popen[str]:
    apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        tried = subprocess.run([*apart, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if tried.returncode:
        pytest.skip(f"no second list of processes here: {tried.stderr.strip()}")
    command = [*apart, sys.executable, "-c", textwrap.dedent(CONTAINED), str(out)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **pipes)


def inside(process: subprocess.Popen[str]) -> int:
    """The number of the process that `unshare` has started, as this list of processes has it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return int(children.split()[0])


def test_a_suspended_worker_of_another_container_loses_its_lease_and_stops_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT", 0.1)
    path = leases.place(tmp_path, "cell", "0" * 64)
    process = contained(tmp_path)
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "True\n"
        limit = time.monotonic() + 1
        while time.monotonic() < limit:  # longer than the limit: it beats
            assert leases.is_held(path)
            time.sleep(0.05)
        os.kill(inside(process), signal.SIGSTOP)
        with leases.held(path):
            os.kill(inside(process), signal.SIGCONT)
            print(file=process.stdin, flush=True)
            here = Holder.of_this_process()
            assert process.stdout.readline() == f"another worker, {here}, has taken it over\n"
            process.wait(60)
            leases.refuse_lost(tmp_path)
        assert left(path) == []
    finally:
        process.kill()
        process.communicate()
