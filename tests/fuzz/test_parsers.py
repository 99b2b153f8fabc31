"""Every parser, given nearly right inputs: it reads them, or says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptbench.errors import UserError
from tests.fuzz import campaign

EXAMPLES = 60
TARGETS = campaign.targets()
FOUND = [("--set", "CoOp.n_ctx = ("), ("--set", 'CoOp.n_ctx = """')]  # what broke once


@pytest.mark.parametrize("name", TARGETS)
def test_an_input_is_read_or_refused(name: str) -> None:
    assert campaign.attempt(TARGETS[name], EXAMPLES) >= EXAMPLES // 2


@pytest.mark.parametrize("name, value", FOUND)
def test_what_broke_once_is_refused(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be parsed"):
        TARGETS[name].parse(value, tmp_path)
