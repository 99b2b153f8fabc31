"""One Ray cluster for all tests of a session that need it: it takes seconds to start."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from tests.executors import ray_cluster
from tests.executors.ray_cluster import Nodes


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed (pip install 'promptbench-vlm[ray]')")
    if ray_cluster.unsharing() is None:
        pytest.skip("a node that does not see a folder takes a mount namespace, not allowed here")
    with ray_cluster.started(tmp_path_factory.mktemp("ray")) as nodes:
        nodes.add_a()
        nodes.add_blind()
        yield nodes
