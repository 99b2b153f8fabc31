"""Every parser, given nearly right inputs: it reads them, or says what is wrong."""

from __future__ import annotations

import pytest

from tests.fuzz import campaign

EXAMPLES = 60
TARGETS = campaign.targets()


@pytest.mark.parametrize("name", TARGETS)
def test_an_input_is_read_or_refused(name: str) -> None:
    assert campaign.attempt(TARGETS[name], EXAMPLES) >= EXAMPLES // 2
