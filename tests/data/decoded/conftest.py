"""A dataset of noisy images whose decoded images are kept, and counts of what is decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from promptbench.data.decoded import reading
from promptbench.data.shards import shards
from promptbench.data.shards.shards import Item, ShardSet
from tests.data import toy
from tests.data.decoded.passes import kept, noisy, seen


@pytest.fixture(name="data")
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardSet:
    """55 noisy test images of several sizes in three shards."""
    monkeypatch.setattr(shards, "SAMPLES_PER_SHARD", 20)
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PROMPTBENCH_IMAGES_GB", "1")
    return toy.write(tmp_path / "toy", toy.Memory({"train": noisy(30, 100), "test": noisy(55, 0)}))


@pytest.fixture(name="expected")
def without_cache(data: ShardSet, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patch:
        patch.setenv("PROMPTBENCH_IMAGES_GB", "0")
        found = seen(data)
    assert not kept()
    return found


@pytest.fixture(name="counts")
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many images have been decoded since the last call."""
    times: list[Item] = []
    original = reading.decoded

    def counting(item: Item) -> Image.Image:
        times.append(item)
        return original(item)

    def since() -> int:
        found = len(times)
        times.clear()
        return found

    monkeypatch.setattr(reading, "decoded", counting)
    return since
