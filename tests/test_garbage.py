"""Garbage is sought seldom for as long as many records are kept, and as before afterwards."""

from __future__ import annotations

import gc

import pytest

from promptbench.support import garbage


def test_garbage_is_sought_seldom_within_a_block_only() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with pytest.raises(KeyError), garbage.seldom_sought():
        assert gc.isenabled() and gc.get_threshold() == (100_000, *before[1:])
        assert gc.get_freeze_count() > frozen
        raise KeyError
    assert gc.get_threshold() == before and gc.get_freeze_count() == 0
