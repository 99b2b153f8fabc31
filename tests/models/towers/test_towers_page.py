"""The examples of docs/towers.md run as they stand there."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from promptbench import api
from promptbench.contract import TRAIN, tiny_towers
from promptbench.models.towers import Tower

PAGE = Path(__file__).parents[3] / "docs" / "towers.md"


def test_the_examples_of_the_page() -> None:
    first, second = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    clip = tiny_towers()
    low = SimpleNamespace(
        blocks=(3, 12),
        A=torch.randn(2, 2, 32),
        B=torch.randn(2, 32, 2),
        adapters=[torch.tanh, torch.relu],
    )
    known: dict[str, Any] = {name: getattr(api, name) for name in api.__all__}
    known |= {"self": low, "partial": partial}
    exec(second, known)
    assert set(known["changes"]) == {3, 12}
    known |= {"towers": clip, "classes": TRAIN, "images": torch.randn(2, 3, 16, 16)}
    wide = {n: api.Delta(beside=torch.tanh) for n in (3, 12)}
    lines = first.replace("changes, leading", "wide, leading")  # one mapping fits one width
    exec(lines, known | {"table": {}, "wide": wide}, found := {})
    assert found["tuned"].shape == found["frozen"].shape == (len(TRAIN), clip.embed_dim)
    assert not torch.allclose(found["tuned"], found["frozen"])
    assert found["hidden"].shape == (2, 1, clip.image.width)


def test_the_page_names_what_is_there() -> None:
    """Every field of a delta, and every function of its table with its parameters."""
    text = PAGE.read_text()
    for name in api.Delta._fields:
        assert f"`{name}`" in text
    for name, given in re.findall(r"`(features|run)\(([^)]*)\)`", text):
        named = [part.partition("=")[0].strip() for part in given.split(",")]
        code = getattr(Tower, name).__code__
        assert [*code.co_varnames[1 : code.co_argcount]] == named
