"""`promptbench.run`, the interface of Python."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

import promptbench
from promptbench.errors import UserError
from promptbench.planning import edge
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request


def test_an_unknown_option_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown option 'seed'.*'seeds'"):
        promptbench.run("coop", "base_to_new", seed=1)


def listed(text: str) -> list[str]:
    """The names that lines such as "name, other: what they mean" list."""
    heads = re.findall(r"^    (\w+(?:, \w+)*): ", text, re.MULTILINE)
    return [name for head in heads for name in head.split(", ")]


def test_the_docstring_lists_every_option_under_its_half() -> None:
    whole = inspect.getdoc(promptbench.run) or ""
    own, asked, done = re.split(r"^\w.*\((?:`[\w.]+`)\):$", whole, flags=re.MULTILINE)
    assert listed(own) == ["method", "protocol"]
    left_out = {"methods", "protocol", "title"}
    for text, cls in ((asked, Request), (done, Machine)):
        fields = {f.name for f in dataclasses.fields(cls) if f.init} - left_out
        assert sorted(listed(text)) == sorted(fields)
    assert set(listed(asked) + listed(done)) == set(edge.names())


@pytest.mark.parametrize("cls", [Request, Machine])
def test_each_half_explains_its_options(cls: type) -> None:
    fields = [f.name for f in dataclasses.fields(cls) if f.init]
    assert listed(inspect.getdoc(cls) or "") == fields
