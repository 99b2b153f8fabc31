"""Modules that a run rarely calls are imported at the first call, and not before."""

import builtins
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

from promptbench.core.optimizers import eager
from promptbench.support.later import Later, called_later

_KINDS = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)


def _run_as(package: str, statement: str) -> dict[str, Any]:
    """The names of a module of a package after an import statement of its own."""
    names: dict[str, Any] = {"__name__": f"{package}.module"}
    exec(statement, names)
    return names


@pytest.fixture
def absent() -> Iterator[None]:
    sys.modules.pop("colorsys", None)
    yield
    sys.modules.pop("colorsys", None)


@pytest.mark.usefixtures("absent")
def test_a_name_of_a_module_that_comes_later_is_imported_when_it_is_called() -> None:
    with called_later("colorsys", by=("importer",)):
        rgb_to_hls = _run_as("importer", "from colorsys import rgb_to_hls")["rgb_to_hls"]
        assert "colorsys" not in sys.modules and isinstance(rgb_to_hls, Later)
        assert rgb_to_hls(1.0, 1.0, 1.0) == (0.0, 1.0, 0.0)
        assert not isinstance(_run_as("importer", "import colorsys")["colorsys"].hls_to_rgb, Later)


def test_what_a_class_that_comes_later_holds_is_found() -> None:
    with called_later("plistlib", by=("importer",)):
        found = _run_as("importer", "from plistlib import UID")["UID"]
    assert found(3).data == 3 and callable(found.__call__)


def test_a_statement_that_binds_the_package_of_a_module_imports_as_usual() -> None:
    for name in [name for name in sys.modules if name.startswith("xml.dom")]:
        del sys.modules[name]
    with called_later("xml.dom", "xml.dom.minidom", by=("importer",)):
        found = _run_as("importer", "import xml.dom.minidom as it")["it"]
    assert found.parseString("<a/>").documentElement.tagName == "a"


@pytest.mark.usefixtures("absent")
def test_nobody_else_sees_a_stand_in() -> None:
    with called_later("colorsys", by=("importer",)):
        assert importlib.util.find_spec("colorsys") is not None
        import colorsys

        assert isinstance(colorsys, ModuleType) and colorsys.__spec__ is not None
        del sys.modules["colorsys"]
        assert not isinstance(_run_as("importers", "from colorsys import ONE_SIXTH"), Later)
        assert sys.modules["colorsys"].__file__


@pytest.mark.usefixtures("absent")
def test_blocks_that_overlap_in_threads_leave_imports_as_usual() -> None:
    usual = builtins.__import__
    first, second = (called_later("colorsys", by=(name,)) for name in ("one", "two"))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not isinstance(_run_as("one", "from colorsys import hls_to_rgb")["hls_to_rgb"], Later)
    del sys.modules["colorsys"]
    assert isinstance(_run_as("two", "from colorsys import hls_to_rgb")["hls_to_rgb"], Later)
    second.__exit__(None, None, None)
    assert not isinstance(_run_as("two", "from colorsys import hls_to_rgb")["hls_to_rgb"], Later)
    builtins.__import__ = usual


def test_what_is_imported_not_installed_or_anothers_stand_in_is_as_usual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import json

    monkeypatch.setitem(sys.modules, "made_up", ModuleType("made_up"))
    with called_later("json", "no_such_package", "made_up.part", by=("importer",)):
        assert _run_as("importer", "from json import loads")["loads"] is json.loads
        for statement in ("import no_such_package", "from made_up.part import anything"):
            with pytest.raises(ImportError):
                _run_as("importer", statement)


def test_an_import_that_fails_leaves_imports_as_usual() -> None:
    usual = builtins.__import__
    with pytest.raises(ZeroDivisionError), called_later("colorsys", by=("importer",)):
        raise ZeroDivisionError
    assert builtins.__import__ is usual


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("fused", [False, True])
def test_an_eager_optimiser_takes_the_steps_of_torchs(kind: type, fused: bool) -> None:
    results = []
    for cls in (kind, eager(kind)):
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.randn(7, 5))
        optimizer = cls([{"params": [p], "lr": 0.1, "weight_decay": 0.01}], fused=fused)
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            (p**3).sum().backward()
            optimizer.step()
        other = cls([p], lr=0.3, fused=fused)
        other.load_state_dict(optimizer.state_dict())
        results.append((p.detach().clone(), other.param_groups[0]["lr"], type(other).__name__))
    assert torch.equal(results[0][0], results[1][0]) and results[0][1:] == results[1][1:]


_A_STEP = """
import sys, torch
from promptbench.core.recipe import Recipe
from promptbench.demo import model
from promptbench.running.lab import arithmetic
class Method(torch.nn.Module):
    groups = {}
    def __init__(self):
        super().__init__()
        self.p = torch.nn.Parameter(torch.ones(3))
with arithmetic.restored():
    arithmetic.settle(torch.device("cpu"), 1)
    model.build(1)
    method = Method()
    for kind in ("sgd", "adamw"):
        optimizer = Recipe(optimizer=kind).build_optimizer(method)
        optimizer.zero_grad()
        method.p.sum().backward()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
print([n for n in ("torch._dynamo", "torch._inductor", "timm", "wandb") if n in sys.modules])
"""


def test_a_training_on_clips_own_towers_imports_neither_compiler_nor_other_zoos() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _A_STEP], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[]", done.stderr
