"""Calls on a stack of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import torch

from promptbench.isolation import isolated


@pytest.fixture(autouse=True)
def threads_as_they_were() -> Iterator[None]:
    usual = torch.get_num_threads()
    yield
    torch.set_num_threads(usual)


def test_the_callers_number_of_cpu_threads_holds() -> None:
    for count in (2, 1, 2):
        torch.set_num_threads(count)
        assert isolated(torch.get_num_threads) == count


def names_on_the_stack() -> set[str]:
    frame, found = sys._getframe(), set()
    while frame is not None:
        found |= set(frame.f_locals)
        frame = frame.f_back  # type: ignore[assignment]  # None ends the loop
    return found


def test_nothing_of_the_caller_is_on_the_stack() -> None:
    a_secret_of_the_caller = 1
    assert "a_secret_of_the_caller" in names_on_the_stack()
    assert "a_secret_of_the_caller" not in isolated(names_on_the_stack)
    assert a_secret_of_the_caller


def test_what_a_call_raises_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        isolated(divmod, 1, 0)
