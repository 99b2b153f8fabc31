"""One Ray cluster for all tests of a session that need it: it takes seconds to start."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Iterator

import pytest

from promptbench.support.stopping import SIGNALS
from tests.executors import ray_cluster
from tests.executors.ray_cluster import Nodes

BEFORE = {number: signal.getsignal(number) for number in SIGNALS}


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Put back the handlers that Ray replaces in the process that has its cluster."""
    yield
    put_back()


def put_back() -> None:
    """Give signals the handlers that they had before Ray."""
    for number, handler in BEFORE.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed (pip install 'promptbench-vlm[ray]')")
    if ray_cluster.unsharing() is None:
        pytest.skip("a node that does not see a folder takes a mount namespace, not allowed here")
    with ray_cluster.started(tmp_path_factory.mktemp("ray")) as nodes:
        nodes.add_a()
        nodes.add_blind()
        put_back()
        yield nodes
