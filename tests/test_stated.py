"""What classes state is read from their sources, as Python itself would find it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptbench.core.registry import BUILT_IN, METHODS, skeletons
from promptbench.core.registry.registry import Origin

STATED = ("title", "paper", "paradigm", "extra_data", "vit_b16_parameters", "equals", "needs")


@pytest.mark.parametrize("name", METHODS.names())
def test_it_is_what_the_imported_class_has(name: str) -> None:
    plugin = METHODS.load(name)
    assert plugin.provider == BUILT_IN
    for what in STATED:
        assert METHODS.stated(name, what) == getattr(plugin.cls, what), what


def test_what_the_site_asks_for_is_read_and_not_imported() -> None:
    code = (
        "import sys\nfrom promptbench.core.registry import METHODS\n"
        "for what in ('title', 'vit_b16_parameters', 'equals'):\n"
        "    print([METHODS.stated(name, what) for name in METHODS.names()])\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


CLASSES = """
from promptbench.api import Method

WORD = "computed"

class Base(Method):
    paper = "of the base"
    equals = "equations"

class Mixin(Method):
    equals = "reference code"
    extra_data = "of the mixin"

class Plugin(Base, Mixin):
    title = "Early"
    paradigm = WORD
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "made_up_stated.py").write_text(CLASSES)
    monkeypatch.syspath_prepend(tmp_path)
    yield "made_up_stated"
    skeletons._texts.cache_clear()
    skeletons._skeleton.cache_clear()


def test_bases_count_in_pythons_order_and_what_is_computed_is_not_guessed(module: str) -> None:
    assert skeletons.stated(module, "title") == "Early"
    assert skeletons.stated(module, "paper") == "of the base"
    assert skeletons.stated(module, "equals") == "equations"
    assert skeletons.stated(module, "extra_data") == "of the mixin"
    assert skeletons.stated(module, "vit_b16_parameters") is None  # of the base class of all
    for what in ("paradigm", "nothing"):
        with pytest.raises(skeletons.UnreadError, match=what):
            skeletons.stated(module, what)
    assert "made_up_stated" not in sys.modules


def test_a_third_partys_class_is_imported(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may say of itself what its text does not."""
    path = tmp_path / f"{module}.py"
    path.write_text(path.read_text() + "\n\nPlugin.title = 'Late'\n")
    origins = {**METHODS._origins(), "other": Origin(module, "elsewhere 1.0")}
    monkeypatch.setattr(type(METHODS), "_origins", lambda self: origins)
    assert skeletons.stated(module, "title") == "Early"
    assert METHODS.stated("other", "title") == "Late"
    del sys.modules[module]
