"""What blocks the network in continuous integration blocks it, and lets this machine be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = Path(__file__).with_name("offline")
ATTEMPTS = """
import _socket, socket
own = {"127.0.0.1", "localhost"}
probe = _socket.socket(type=socket.SOCK_DGRAM)  # below what is blocked; it sends nothing
try:
    probe.connect(("192.0.2.1", 53))
    own.add(probe.getsockname()[0])  # under which engines run here
except OSError:
    pass  # no network at all
for name in own:
    server = socket.create_server((name, 0))
    socket.create_connection((name, server.getsockname()[1])).close()
for reach in (
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
    lambda: socket.socket().connect(("192.0.2.1", 80)),
    lambda: socket.socket().connect_ex(("192.0.2.1", 80)),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53)),
    lambda: socket.getaddrinfo("example.org", 443),
):
    try:
        reach()
    except OSError as error:
        assert "the tests run offline" in str(error), error
    else:
        raise AssertionError("not blocked")
"""


def test_the_block_holds_in_processes_that_tests_start() -> None:
    environment = {**os.environ, "PYTHONPATH": str(BLOCK)}
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_continuous_integration_is_blocked() -> None:
    if os.environ.get("PROMPTBENCH_OFFLINE") != "1":
        pytest.skip("this run is not the offline one (PROMPTBENCH_OFFLINE=1, as in .ci/run)")
    with pytest.raises(OSError, match="the tests run offline"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
