"""Hashes of code: what counts is the text of a method and of what it imports, not its place."""

from __future__ import annotations

import functools
import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from promptbench.core import source_code
from promptbench.core.registry import METHODS
from promptbench.support import version

METHOD = """
from promptbench.methods.zeroshot import ZeroShot

class Mine(ZeroShot):
    title = "mine"
"""


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash as a new process does, and leave what the others have hashed."""
    for name in ("of_method", "of_training", "_module"):
        fresh = functools.cache(getattr(source_code, name).__wrapped__)
        monkeypatch.setattr(source_code, name, fresh)


def changed(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Let a module have another text."""
    known = source_code._module.__wrapped__

    def module_of(name: str) -> object:
        text, imports = known(name)
        return (text + "# changed\n" if name == module else text, imports)

    source_code.of_method.cache_clear()
    monkeypatch.setattr(source_code, "_module", module_of)


def hashed(module: str, gin_file: Path | None = None) -> str:
    """The hash as a new process finds it."""
    source_code.of_method.cache_clear()
    source_code._module.cache_clear()
    importlib.invalidate_caches()
    found = source_code.of_method(module, gin_file)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("method", "module", "counts"),
    [
        ("coop", "coop", True),
        ("coop", "_context", True),
        ("alignednorm", "mmrlpp", True),
        ("alignednorm", "_representation", True),  # also through mmrlpp
        ("coop", "mmrlpp", False),
        ("zeroshot", "_context", False),
    ],
)
def test_a_method_and_what_it_imports_of_the_methods_count(
    monkeypatch: pytest.MonkeyPatch, method: str, module: str, counts: bool
) -> None:
    plugin = METHODS.load(method)
    before = plugin.source_sha256
    changed(monkeypatch, f"promptbench.methods.{module}")
    assert (plugin.source_sha256 != before) is counts


def test_methods_have_hashes_of_their_own() -> None:
    hashes = [METHODS.load(name).source_sha256 for name in METHODS.names()]
    assert None not in hashes and len(set(hashes)) == len(hashes)


def test_places_and_line_endings_do_not_count_and_texts_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(folder: str, text: str, gin: str | None = None) -> str:
        file = tmp_path / folder / "mine.py"
        file.parent.mkdir()
        file.write_bytes(text.encode())
        if gin is not None:
            file.with_suffix(".gin").write_bytes(gin.encode())
        monkeypatch.syspath_prepend(file.parent)
        return hashed("mine", file.with_suffix(".gin") if gin is not None else None)

    usual = written("a", METHOD)
    assert written("b", METHOD.replace("\n", "\r\n")) == usual
    assert written("c", METHOD + "# more\n") != usual
    with_gin = written("d", METHOD, "# one\n# two\n")
    assert with_gin != usual and written("e", METHOD, "# one\r\n# two\r\n") == with_gin
    assert written("f", METHOD, "# one\n# 2\n") != with_gin


@pytest.mark.parametrize(
    "imports", ["from .parts import X", "from {p} import parts", "import {p}.parts"]
)
def test_modules_of_the_own_package_count_wherever_they_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imports: str
) -> None:
    name = f"package_{abs(hash(imports))}"
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("from . import more\nX = 1\n")
    (package / "more.py").write_text("Y = 1\n")
    (package / "unused.py").write_text("Z = 1\n")
    (package / "mine.py").write_text(f"def late():\n    {imports.format(p=name)}\n{METHOD}")
    monkeypatch.syspath_prepend(tmp_path)

    before = hashed(f"{name}.mine")
    (package / "unused.py").write_text("Z = 2\n")
    assert hashed(f"{name}.mine") == before
    (package / "more.py").write_text("Y = 2\n")
    assert hashed(f"{name}.mine") != before


def test_modules_beside_the_file_of_a_plugin_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_parts.py").write_text("X = 1\n")
    (tmp_path / "mine.py").write_text(f"import json\nfrom mine_parts import X\n{METHOD}")
    monkeypatch.syspath_prepend(tmp_path)
    before = hashed("mine")
    (tmp_path / "mine_parts.py").write_text("X = 2\n")
    assert source_code.of_method("mine", None) == before  # the code that was loaded
    assert hashed("mine") != before


def test_a_source_that_cannot_be_had_is_unknown() -> None:
    assert source_code.of_method("there.is.no.such.module", None) is None


def test_the_hash_is_of_the_code_that_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "loaded_once.py"
    file.write_text(METHOD.replace("Mine", "LoadedOnce"))
    plugin = METHODS.load(METHODS.add_file(file))
    file.write_text("edited while the process runs")
    assert plugin.source_sha256 == source_code.of_method(plugin.cls.__module__, None) is not None


def test_the_code_that_trains_counts_file_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = version.PACKAGE
    assert all((root / name).exists() for name in source_code._TRAINS)
    copy = tmp_path / "elsewhere"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("*.gz", "*.safetensors"))
    before = source_code.of_training()
    monkeypatch.setattr(version, "PACKAGE", copy)

    def after(name: str, edit: Callable[[bytes], bytes]) -> str:
        source_code.of_training.cache_clear()
        path = copy / name
        path.write_bytes(edit(path.read_bytes()))
        return source_code.of_training()

    assert after("report/table.py", lambda text: text + b"#\n") == before
    assert after("running/training/train.py", lambda text: text.replace(b"\n", b"\r\n")) == before
    assert after("data/layouts/hf.py", lambda text: text + b"#\n") != before
