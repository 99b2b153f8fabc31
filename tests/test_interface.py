"""`promptbench.run`, the interface of Python."""

from __future__ import annotations

import dataclasses
import re

import pytest

import promptbench
from promptbench.errors import UserError
from promptbench.planning.request import Request


def test_an_unknown_option_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown option 'seed'.*'seeds'"):
        promptbench.run("coop", "base_to_new", seed=1)


def test_the_docstring_lists_every_option() -> None:
    options = {f.name for f in dataclasses.fields(Request) if f.init} - {"methods", "title"}
    assert options <= set(re.findall(r"\w+", promptbench.run.__doc__ or ""))
