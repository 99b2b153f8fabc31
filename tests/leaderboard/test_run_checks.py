"""What a record says that it learns is held to its settings, classes and images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptbench import records
from promptbench.core.registry import METHODS
from promptbench.leaderboard.checking import known, run_checks

WIDTH = 64  # of an image feature of the demo's CLIP


def with_images(path: Path, method: str, images: int, learned: int) -> records.Record:
    """The record of another method and of so many images; that is all that is looked at."""
    found = records.read(path)
    plugin = METHODS.load(method)
    usual = known.shipped_settings(
        method, found.protocol.name, found.backbone.name, "paper", found.leg
    )
    changes: dict[str, Any] = {
        "name": method,
        "provider": plugin.provider,
        "parameters": usual[plugin.cls.__name__],
        "learned_parameters": learned,
        "extra_data": "none",
    }
    return found.model_copy(
        update={
            "overrides": [],
            "method": found.method.model_copy(update=changes),
            "source": found.source.model_copy(update={"keys": [f"{i}.png" for i in range(images)]}),
        }
    )


def test_numbers_that_grow_with_the_images_are_those_of_each_record(coop: Path) -> None:
    """Tip-Adapter-F learns a key per image; several numbers of shots are verified together."""
    for images in (4, 8, 64, 4):
        own = with_images(coop, "tipadapterf", images, images * WIDTH)
        assert not [*run_checks.method(own)], images
    (reason,) = run_checks.method(with_images(coop, "tipadapterf", 8, 4 * WIDTH))
    assert reason == f"{4 * WIDTH} learned parameters; these settings make {8 * WIDTH}"
