"""Output in encodings that lack characters, to readers that go away, and documents in UTF-8."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from promptbench import records
from promptbench.cli import main, streams
from promptbench.support.safe_text import plain, spelled
from tests.made_records import record

NARROW = ("ascii", "latin-1", "cp1252", "cp437", "koi8-r")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three seeds of a method whose name no narrow encoding holds."""
    info = record(method="coop").method.model_copy(update={"title": "Prömpt 提示"})
    for seed in (1, 2, 3):
        made = record(seed, 60 + seed, "coop").model_copy(update={"method": info})
        records.write(made, tmp_path / str(seed) / "record.json")
    return tmp_path


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "promptbench.cli", *arguments]
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment})


@given(st.text(), st.sampled_from([*NARROW, "utf-8", "utf-16", "no-such-encoding"]))
def test_every_text_can_be_written(text: str, encoding: str) -> None:
    found = spelled(text, encoding)
    if encoding != "no-such-encoding":
        found.encode(encoding)
    else:
        assert found.isascii()
    assert plain(text).isascii()


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("61.00 ±2.48†", "ascii", "61.00 +-2.48*"),
        ("61.00 ±2.48†", "latin-1", "61.00 ±2.48*"),
        ("61.00 ±2.48†", "cp1252", "61.00 ±2.48†"),
        ("(1–2) — a→b…", "ascii", "(1-2) - a->b~"),
        ("Café Ж 提示", "ascii", "Cafe ? ????"),
        ("\udcff.jpg", "utf-8", "?.jpg"),
        ("±", "utf-8", "±"),
    ],
)
def test_signs_have_plain_forms(text: str, encoding: str, shown: str) -> None:
    assert spelled(text, encoding) == shown


@pytest.mark.parametrize("encoding", NARROW)
def test_streams_take_what_their_encoding_lacks(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, encoding=encoding))
    with streams.ready():
        print("± † — 提示 \udcff")
    assert "???? ?".encode(encoding) in bytes_.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_report_degrades_and_succeeds(runs: Path, encoding: str) -> None:
    done = process("report", str(runs), PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    sign = {"ascii": "+-", "latin-1": "±"}[encoding]
    text = done.stdout.decode(encoding)
    assert f"62.00 {sign}2.48" in text and "????" in text
    part: list[str] = []
    for line in text.splitlines():  # columns stay in line
        part = [*part, line] if line.startswith(("|", "+--")) else []
        if line.startswith("+--") and len(part) > 1:
            assert len(set(map(len, part))) == 1
            part = []


def test_errors_degrade_too() -> None:
    done = process("report", "nirgendwoß", "--method", "提示", PYTHONIOENCODING="ascii")
    assert done.returncode == 2 and b"unknown method '????'" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_locale_without_characters_is_enough(runs: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = process("report", str(runs), "--format", "json", **plain)
    assert done.returncode == 0, done.stderr
    assert "Prömpt 提示" in {row["method"] for row in json.loads(done.stdout)[0]["rows"]}


@pytest.mark.parametrize("form", ["markdown", "latex", "csv", "json", "html"])
def test_documents_are_utf_8_where_they_are_saved(
    form: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = CliRunner(charset="latin-1").invoke(main, ["report", str(runs), "--format", form])
    assert found.exit_code == 0, found.output
    assert "Prömpt" in found.stdout_bytes.decode("utf-8")
    if form != "latex":
        assert "提示" in found.stdout_bytes.decode("utf-8")


def test_a_reader_that_goes_away_ends_the_output_quietly() -> None:
    command = [sys.executable, "-m", "promptbench.cli", "report", "--suite", "clip"]
    for form in ("rich", "csv"):
        asked = [*command, "--protocol", "base_to_new", "--format", form]
        with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            assert running.stdout is not None and running.stderr is not None
            running.stdout.close()
            assert running.stderr.read() == b""


def test_what_is_left_to_write_is_dropped_when_the_reader_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with streams.ready():
            print("a short line, still in the buffer")
