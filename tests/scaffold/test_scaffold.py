"""`promptbench new`: the packages work as they are written."""

from __future__ import annotations

import runpy
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from promptbench.cli import develop
from promptbench.core.registry import FROM_FILES, METHODS, PROTOCOLS
from promptbench.errors import UserError
from promptbench.scaffold import write_package
from tests.calling import call
from tests.short_form import first


@pytest.mark.parametrize("kind", first(1, ["method", "metric"]))
def test_the_new_package_passes_its_own_tests(kind: str, tmp_path: Path) -> None:
    folder = write_package(kind, f"my_{kind}", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_new_package_says_where_its_method_is(tmp_path: Path) -> None:
    folder = write_package("method", "my_method", tmp_path)
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    entry = project["project"]["entry-points"]["promptbench.methods"]
    assert entry == {"my_method": "promptbench_my_method.my_method"}
    module = folder / "promptbench_my_method" / "my_method.py"
    assert module.is_file() and module.with_suffix(".gin").is_file()
    assert len(module.read_text().splitlines()) < 80
    assert not [path for path in folder.rglob("*") if path.is_file() and "$" in path.read_text()]


def test_the_new_protocol_passes_its_tests_and_imports_the_interface_only(tmp_path: Path) -> None:
    folder = write_package("protocol", "my_thirds", tmp_path)
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    entry = project["project"]["entry-points"]["promptbench.protocols"]
    assert entry == {"my_thirds": "promptbench_my_thirds.my_thirds"}
    module = folder / "promptbench_my_thirds" / "my_thirds.py"
    plugin = PROTOCOLS.load(PROTOCOLS.add_file(module))
    assert plugin.gin_file == module.with_suffix(".gin")
    tests = runpy.run_path(str(folder / "tests" / "test_my_thirds.py"))
    run = [test for name, test in tests.items() if name.startswith("test_")]
    for test in run:
        test(plugin)
    assert len(run) == 2
    lines = [line for line in module.read_text().splitlines() if "promptbench" in line]
    assert lines == ["from promptbench.api import ("]
    written = [path for path in folder.rglob("*.*") if path.is_file() and path.suffix != ".pyc"]
    assert not [path for path in written if "$" in path.read_text()]


@pytest.mark.parametrize("name", ["My-Protocol", "all-of", "few_shot"])
def test_names_that_no_protocol_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="protocol"):
        write_package("protocol", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_new_metric_keeps_the_contract_and_says_where_it_is(tmp_path: Path) -> None:
    written = call("new", "metric", "my_metric", "--in", tmp_path)
    assert written.exit_code == 0, written.output
    folder = tmp_path / "promptbench-my-metric"
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    entry = project["project"]["entry-points"]["promptbench.metrics"]
    assert entry == {"my_metric": "promptbench_my_metric.my_metric"}
    assert not [path for path in folder.rglob("*") if path.is_file() and "$" in path.read_text()]
    assert not list(folder.rglob("*.gin"))  # a metric has no settings
    module = folder / "promptbench_my_metric" / "my_metric.py"
    assert f"promptbench check {module}" in written.output
    checked = call("check", module)
    assert checked.exit_code == 0 and "8 of 8 points hold" in checked.output
    taken = call("new", "metric", "accuracy", "--in", tmp_path)
    assert taken.exit_code == 2 and "there is a metric 'accuracy' already" in taken.output


@pytest.mark.parametrize("name", ["My-Method", "9lives", "class", "../up", "", "coop"])
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        write_package("method", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = write_package("method", "my_method", tmp_path)
    (folder / "README.md").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        write_package("method", "my_method", tmp_path)
    assert (folder / "README.md").read_text() == "mine"
    assert "my_method" not in METHODS.names()


def test_every_kind_of_package_has_its_command_and_its_contract() -> None:
    templates = Path(str(resources.files("promptbench.scaffold"))) / "templates"
    kinds = {folder.name for folder in templates.iterdir()} - {"results"}  # not a plugin
    assert kinds == set(develop._KINDS) == set(develop.new.commands)
    assert kinds <= {registry.kind for registry in FROM_FILES}
    assert all(callable(kind.checkup) for kind in develop._KINDS.values())
