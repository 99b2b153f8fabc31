"""`promptbench.run`, the interface of Python."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import promptbench
from promptbench import api
from promptbench.errors import UserError
from promptbench.planning import edge
from promptbench.planning.machine import Machine
from promptbench.planning.request import Request

REPORT = ["report", "--suite", "clip", "--protocol", "base_to_new", "--format", "csv"]


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
    left_out = {"methods", "protocol", "title", "swept", "trial", "chosen"}
    for text, cls, more in ((asked, Request, {"sweep"}), (done, Machine, set[str]())):
        fields = {f.name for f in dataclasses.fields(cls) if f.init} - left_out | more
        assert sorted(listed(text)) == sorted(fields)
    assert set(listed(asked) + listed(done)) == set(edge.names())


@pytest.mark.parametrize("cls", [Request, Machine])
def test_each_half_explains_its_options(cls: type) -> None:
    fields = [f.name for f in dataclasses.fields(cls) if f.init]
    assert listed(inspect.getdoc(cls) or "") == fields


def test_the_api_lists_every_name_once_with_its_home() -> None:
    """What type checkers read, what is imported at run time, and what is promised are the same."""
    tree = ast.parse(inspect.getsource(api))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    read = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {name: (home, name) for home, names in api._HOMES.items() for name in names}
    modules = {name: tuple(path.rsplit(".", 1)) for name, path in api._MODULES.items()}
    assert read == homes | modules
    assert sorted(read) == sorted(api.__all__)
    assert set(api.__all__) <= set(dir(api))
    for name in api.__all__:
        assert getattr(api, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = api.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", ["promptbench.records", "promptbench.protocols.base_to_new"])
def test_what_reads_records_does_not_wait_for_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_report_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = (
        "import sys, click.testing, promptbench.cli as cli\n"
        f"found = click.testing.CliRunner().invoke(cli.main, {REPORT!r} + [{str(tmp_path)!r}])\n"
        "assert 'Base-to-new' in found.output, found.output\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
