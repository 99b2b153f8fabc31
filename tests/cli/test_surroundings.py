"""What the process around a command may do to it: memory, warnings, names; each a sentence."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from promptbench.cli import main
from promptbench.core.registry import Registry
from promptbench.errors import one_line
from promptbench.support import surroundings


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Result:
    def names(_: object) -> None:
        raise error

    monkeypatch.setattr(Registry, "names", names)
    return CliRunner().invoke(main, ["ls", "methods"])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("can't start new thread"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_too_little_memory_is_a_sentence(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    found = failing(monkeypatch, error)
    assert found.exit_code == 2 and isinstance(found.exception, SystemExit)
    assert found.stderr.startswith("error: there is not enough memory")
    assert type(error).__name__ in found.stderr and "finished parts are kept" in found.stderr


@pytest.mark.parametrize(
    "error",
    [ImportError("No module named x"), RuntimeError("a mistake"), ValueError("of ours"), OSError()],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_are_not_hidden(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(monkeypatch, error).exception is error


def test_an_extension_that_dies_of_a_limit_is_told_from_one_that_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = SystemError("error return without exception set")
    assert not surroundings.lacks_memory(error)
    monkeypatch.setattr(surroundings, "memory_limit", lambda: 2**20)
    assert surroundings.lacks_memory(error)
    assert "1 MiB" in str(surroundings.tight_memory())
    monkeypatch.setattr(surroundings, "memory_limit", lambda: 2**40)
    assert not surroundings.lacks_memory(error) and surroundings.tight_memory() is None


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited as Linux does it")
def test_a_limit_on_the_address_space_is_told_before_and_after() -> None:
    command = f"ulimit -v 300000; exec '{sys.executable}' -m promptbench.cli ls methods"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert found.returncode == 2, found.stderr
    assert "note: this shell limits the address space to 292 MiB" in found.stderr
    assert "error: there is not enough memory (ulimit -v allows this process" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_cell_that_lacks_memory_says_so() -> None:
    try:
        raise MemoryError
    except MemoryError as error:
        assert one_line(error).startswith("not enough memory (test_surroundings.py, line")


def test_names_that_no_file_can_have() -> None:
    found = CliRunner().invoke(main, ["report", "x" * 5000])
    assert found.exit_code == 2 and "File name too long" in found.stderr
    assert "(5000 characters)" in found.stderr and len(found.stderr) < 200
    found = CliRunner().invoke(main, ["check", "a\0b.py"])
    assert found.exit_code == 2 and "holds a NUL character" in found.stderr


@pytest.fixture
def filters() -> Iterator[None]:
    with warnings.catch_warnings():
        yield


def test_warnings_are_shown_whatever_python_was_told(filters: None) -> None:
    warnings.resetwarnings()
    warnings.filterwarnings("ignore", message="quiet .*")
    warnings.filterwarnings("error", category=DeprecationWarning, module="some")
    warnings.simplefilter("error", append=True)
    before = list(warnings.filters)
    surroundings.only_show_warnings()
    after = list(warnings.filters)
    assert [f[0] for f in before] == ["error", "ignore", "error"]
    assert [f[0] for f in after] == ["default", "ignore", "default"]
    assert [f[2] for f in after] == [f[2] for f in before]
    assert after[0][3] is not None and after[0][3].pattern == "some"  # type: ignore[union-attr]
    with pytest.warns(UserWarning, match="told"):
        warnings.warn("told", stacklevel=1)


def test_filters_without_errors_are_left_as_they_are(filters: None) -> None:
    warnings.resetwarnings()
    warnings.filterwarnings("ignore", message="quiet .*")
    before = warnings.filters
    surroundings.only_show_warnings()
    assert warnings.filters is before


WARNS = """
import sys, warnings
from promptbench.cli import main
from promptbench.core.registry import Registry
def names(_):
    warnings.warn("a library's", DeprecationWarning)
    return ["coop"]
Registry.names = names
sys.argv = ["promptbench", "info", "nothing"]
main()
"""


def test_a_librarys_warning_ends_no_command(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", WARNS],
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2 and "Traceback" not in found.stderr, found.stderr
    assert "note: a library's" in found.stderr and "nothing" in found.stderr
