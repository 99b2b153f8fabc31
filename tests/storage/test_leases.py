"""Leases: one holder at a time, whoever dies, is stopped, wakes up or lives elsewhere."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptbench.errors import OutputError
from promptbench.storage import leases
from promptbench.storage.leases import LeaseLost, files, heartbeat, protocol
from promptbench.storage.leases.files import Seen, look
from promptbench.storage.leases.heartbeat import Heart, Watcher
from promptbench.storage.leases.holder import Holder

FORK = multiprocessing.get_context("fork")
WITHOUT_LINKS = [errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return leases.place(tmp_path, "cell", "0123456789abcdef" * 4)


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    def link(*_: Any) -> None:
        raise OSError(request.param, "no such thing here")

    monkeypatch.setattr(os, "link", link)


def left(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


def elsewhere(claim: str = "theirs") -> Holder:
    """A process of another machine."""
    there = {"boot": "another", "host": "node7", "pid": 41, "job": "Slurm job 9_3"}
    return replace(Holder.of_this_process(), claim=claim, worker="w", **there)  # type: ignore[arg-type]


def dies_holding(path: Path) -> Holder:
    """The holder of a lease whose process was killed."""

    def hold() -> None:
        with leases.claimed(path) as mine:
            os._exit(0 if mine else 1)

    child = FORK.Process(target=hold)
    child.start()
    child.join()
    found = look(path)
    assert child.exitcode == 0 and found is not None and found.holder is not None
    return found.holder


def test_a_lease_is_one_process_s_until_it_is_given_back(path: Path) -> None:
    with leases.claimed(path) as mine:
        assert mine is not None and left(path) == [path.name]
        assert leases.is_held(path)
        with leases.claimed(path) as second:
            assert second is None
        assert leases.is_held(path)
        leases.refuse_lost(path.parents[1])
    assert not leases.is_held(path) and left(path) == []


def test_who_waits_gets_it_when_it_is_free(path: Path) -> None:
    order: list[str] = []

    def wait() -> None:
        with leases.held(path):
            order.append("second")

    with leases.held(path):
        other = threading.Thread(target=wait)
        other.start()
        other.join(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"] and left(path) == []


@pytest.mark.parametrize("no_links", WITHOUT_LINKS, indirect=True)
def test_where_there_are_no_links_a_lease_is_a_file_of_its_own(path: Path, no_links: None) -> None:
    with leases.claimed(path) as mine:
        assert mine is not None and left(path) == [path.name]
        with leases.claimed(path) as second:
            assert second is None
    assert left(path) == []
    dies_holding(path)
    with leases.claimed(path) as mine:
        assert mine is not None
    assert left(path) == []


def test_a_link_that_was_made_and_is_said_to_be_there_already_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def twice(*names: Any) -> None:
        link(*names)
        link(*names)  # as a network file system's second request

    monkeypatch.setattr(os, "link", twice)
    with leases.claimed(path) as mine:
        assert mine is not None


def test_a_dead_process_s_lease_is_free_at_once(path: Path) -> None:
    dies_holding(path)
    assert not leases.is_held(path)
    with leases.claimed(path) as mine:
        assert mine is not None
    assert left(path) == []


def test_a_process_that_has_the_dead_one_s_number_is_not_its_holder(path: Path) -> None:
    me = Holder.of_this_process()
    assert me.lives() is True
    assert replace(me, started=me.started + 1).lives() is False
    assert replace(me, boot="another").lives() is None
    assert replace(me, namespace="another").lives() is None
    assert replace(me, started=0).lives() is None  # not known which one it was


def test_a_dead_process_that_nobody_has_buried_does_not_live(path: Path) -> None:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        with leases.claimed(path):
            os.write(theirs, b"x")
            time.sleep(60)
            os._exit(0)
    os.read(ours, 1)
    assert leases.is_held(path)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    assert not leases.is_held(path)
    os.waitpid(pid, 0)


def test_a_stopped_process_of_this_machine_keeps_its_lease(path: Path) -> None:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        with leases.claimed(path):
            os.write(theirs, b"x")
            time.sleep(60)
            os._exit(0)
    os.read(ours, 1)
    os.kill(pid, signal.SIGSTOP)
    os.utime(path, (0, 0))
    assert leases.is_held(path)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not leases.is_held(path)


def test_a_child_does_not_give_back_its_parent_s_lease(path: Path) -> None:
    with leases.claimed(path) as mine:
        child = os.fork()
        if child == 0:
            assert mine is not None
            mine.release()
            os._exit(0)
        os.waitpid(child, 0)
        assert look(path) is not None
    assert left(path) == []


def test_what_a_signal_left_behind_in_this_process_is_not_held(path: Path) -> None:
    lost = leases.Lease(path)
    assert lost.take()
    assert leases.is_held(path)
    protocol._HEART.drop(lost)  # the block was left before it could say so
    with leases.claimed(path) as mine:
        assert mine is not None
    assert left(path) == []


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


@pytest.mark.parametrize("no_links", [errno.ENOTSUP], indirect=True)
def test_what_is_moved_aside_by_mistake_is_put_back_without_links_as_well(
    path: Path, no_links: None
) -> None:
    test_what_is_moved_aside_by_mistake_is_put_back(path)


def test_what_is_moved_aside_by_mistake_is_put_back(path: Path) -> None:
    assert files.create(path, elsewhere())
    before = look(path)
    assert not files.remove(path, "mine", lambda found: found.claim == "mine")
    assert look(path) == before and left(path) == [path.name]
    assert files.remove(path, "mine", lambda found: found.claim == "theirs")
    assert left(path) == []
    assert not files.remove(path, "mine", lambda found: True)


def test_a_lease_that_beats_again_at_the_last_moment_is_not_taken_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder wakes up while somebody is about to take it."""
    assert files.create(path, elsewhere())
    remove = files.remove

    def wakes(path: Path, claim: str, is_meant: Callable[[Seen], bool]) -> bool:
        if claim != "theirs" and path.name == place:
            os.utime(path)
        return remove(path, claim, is_meant)

    place = path.name
    os.utime(path, (0, 0))
    monkeypatch.setattr(protocol._WATCHER, "is_stale", lambda found: found.claim == "theirs")
    with monkeypatch.context() as patch:
        patch.setattr(files, "remove", wakes)
        with leases.claimed(path) as mine:
            assert mine is None
    assert left(path) == [path.name]
    with leases.claimed(path) as mine:
        assert mine is not None


def race(path: Path, ready: Any, go: Any, report: Any) -> None:
    for _ in range(ROUNDS):
        ready.wait()
        with leases.claimed(path) as mine:
            report.put(mine is not None)
            go.wait()


ROUNDS, RACERS = 25, 16


def test_a_stale_lease_is_taken_over_by_exactly_one_of_many(path: Path) -> None:
    ready, go = FORK.Barrier(RACERS + 1), FORK.Barrier(RACERS + 1)
    report = FORK.Queue()
    crew = [FORK.Process(target=race, args=(path, ready, go, report)) for _ in range(RACERS)]
    for process in crew:
        process.start()
    for number in range(ROUNDS):
        if number % 2:
            dies_holding(path)
        ready.wait()
        assert sum(report.get(timeout=60) for _ in crew) == 1, f"round {number}"
        go.wait()
        while look(path) is not None:  # whoever won gives it back
            time.sleep(0.001)
    for process in crew:
        process.join()
    assert left(path) == []


STEPS = ["link", "open", "rename", "unlink"]


def dies_at(step: str, number: int, path: Path) -> None:
    """Claim and release, and end at the step of that number, before it or after."""
    count = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == number and number % 2:
                os._exit(9)
            result = real(*args, **options)
            if count == number:
                os._exit(9)
            return result

        return called

    home: Any = Path if step in ("rename", "unlink") else os
    setattr(home, step, dying(getattr(home, step)))
    with leases.claimed(path) as mine:
        assert mine is not None
    os._exit(0)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("stale", [False, True])
def test_a_kill_at_any_step_leaves_nothing_in_the_way(path: Path, step: str, stale: bool) -> None:
    number, code = 0, 9
    while code == 9:
        number += 1
        if stale:
            dies_holding(path)
        child = FORK.Process(target=dies_at, args=(step, number, path))
        child.start()
        child.join()
        code = child.exitcode or 0
        for found in path.parent.glob("*"):  # files that were not whole yet grow old
            if found.stat().st_size == 0:
                os.utime(found, (0, 0))
        with leases.claimed(path) as mine:
            assert mine is not None
        leases.sweep(path.parents[1])
        assert left(path) == []
    assert code == 0 and number > 1


def test_nobody_sweeps_while_others_work(path: Path) -> None:
    died = path.with_name("cell-dead")
    dies_holding(died)
    with leases.claimed(path):
        leases.sweep(path.parents[1])
        assert left(path) == sorted([path.name, died.name])
    leases.sweep(path.parents[1])
    assert left(path) == []


def test_who_holds_what_is_plain_data(path: Path) -> None:
    out = path.parents[1]
    assert leases.holders(out) == []
    with leases.claimed(path):
        training = leases.place(out, "training", "f" * 64)
        assert files.create(training, elsewhere())
        os.utime(training, (0, 0))
        mine, theirs = leases.holders(out)
        assert (mine.path, mine.kind, mine.digest) == (path, "cell", "0123456789abcdef" * 2)
        assert (mine.pid, mine.worker, mine.stale) == (os.getpid(), leases.worker(), False)
        assert mine.seconds is not None and mine.seconds < 60
        assert (theirs.kind, theirs.host, theirs.job) == ("training", "node7", "Slurm job 9_3")
        assert theirs.stale and theirs.seconds is not None and theirs.seconds > 1e9
    assert left(path) == [training.name]


def test_a_view_knows_from_one_listing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another machine is looked at every two beats, and this machine's only once."""
    looks: list[str] = []
    monkeypatch.setattr(protocol, "look", lambda p: looks.append(p.name) or look(p))
    out, theirs = path.parents[1], path.with_name("cell-theirs")
    view = leases.View(out)
    assert not view.is_held(path) and not view.others() and looks == []
    with leases.claimed(path):
        assert not view.others()
        assert files.create(theirs, elsewhere())
        view.refresh()
        looks.clear()
        for _ in range(5):
            assert view.is_held(path) and view.is_held(theirs)
            assert not view.is_held(path.with_name("cell-free"))
        assert looks == [path.name, theirs.name] and view.others()
        now = time.monotonic() + 2 * heartbeat.BEAT
        monkeypatch.setattr(time, "monotonic", lambda: now)
        assert view.is_held(theirs) and looks[2:] == [theirs.name]
    view.refresh()
    assert not view.is_held(path)


def test_pauses_grow_up_to_a_bound_and_differ() -> None:
    found = [pause for pause, _ in zip(leases.pauses(0.1, 2.0), range(200), strict=False)]
    assert all(0.06 <= pause <= 2.7 for pause in found) and len(set(found)) > 150
    assert sum(found[:5]) < 1 < sum(found[-5:])


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    with monkeypatch.context() as patch:

        def refused(*_: Any) -> int:
            raise OSError(number, os.strerror(number))

        patch.setattr(os, "open", refused)
        yield


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, r"cannot write .*No space left on device; free some space and run the same"),
        (errno.EACCES, r"cannot write .*Permission denied"),
        (errno.EROFS, r"cannot write .*Read-only file system"),
        (errno.ENOLCK, r"cannot lock .*No locks available; run the same command again"),
    ],
)
def test_a_folder_that_takes_no_leases_is_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    for way in (leases.claimed, leases.held):
        refused = pytest.raises(OutputError, match=said)
        with refused, failing(monkeypatch, number), way(path):
            pytest.fail("it was not held")


def test_a_folder_that_cannot_be_listed_is_a_sentence(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(where: Path) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied", str(where))

    monkeypatch.setattr(os, "listdir", refused)
    out = path.parents[1]
    for way in (leases.View(out).refresh, lambda: leases.sweep(out), lambda: leases.holders(out)):
        with pytest.raises(OutputError, match=r"\.locks: Permission denied"):
            way()


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
