"""One holder at a time on this machine, whoever waits, dies, is stopped or has children."""

from __future__ import annotations

import errno
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptbench.storage import leases
from promptbench.storage.leases import protocol
from promptbench.storage.leases.files import look
from promptbench.storage.leases.holder import Holder
from tests.storage.leases.holders import dies_holding, left, lives_holding

WITHOUT_LINKS = [errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV]


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
    pid = lives_holding(path)
    assert leases.is_held(path)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    assert not leases.is_held(path)
    os.waitpid(pid, 0)


def test_a_stopped_process_of_this_machine_keeps_its_lease(path: Path) -> None:
    pid = lives_holding(path)
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
