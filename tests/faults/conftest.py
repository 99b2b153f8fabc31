"""The numbers of the tiny grid where nothing goes wrong, once for all tests of faults."""

from __future__ import annotations

from typing import Any

import pytest

from promptbench.core.registry import FROM_FILES
from tests.faults import driver


@pytest.fixture(scope="session")
def undisturbed(cache: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("undisturbed")
    driver.run(out, checkpoint_minutes=5)  # snapshots change no number
    for kind in FROM_FILES:  # the plugin's file, which a test has elsewhere
        kind._files.clear()
    return driver.numbers(out)
