"""A lease's place, and file systems without links."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from promptbench.storage import leases


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return leases.place(tmp_path, "cell", "0123456789abcdef" * 4)


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    def link(*_: Any) -> None:
        raise OSError(request.param, "no such thing here")

    monkeypatch.setattr(os, "link", link)
