"""What a card says is whole in a narrow terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from promptbench.catalogue import describe_card
from promptbench.data.cards import cards


@pytest.mark.parametrize("width", [40, 80])
def test_hashes_are_folded_and_not_cut(width: int) -> None:
    card, out = cards.load("shapes"), io.StringIO()
    describe_card(card, None, Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= width for line in lines[:10])
    assert card.digest in "".join(line.strip().split(" ")[-1] for line in lines)
    assert "…" not in out.getvalue()
