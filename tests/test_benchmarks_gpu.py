"""`python -m benchmarks.gpu` on a CPU: rows are kept whatever happens, one failure ends nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu, gpu_programs
from benchmarks.gpu_programs import together
from benchmarks.gpu_steps import Bench, Rows
from promptbench.running.lab import arithmetic

Measured = tuple[int, list[dict[str, Any]]]  # exit code and rows
Called = Callable[..., Measured]

programs = pytest.mark.skipif(
    sys.platform == "win32", reason="of POSIX: signals and process groups"
)


# The columns of those that take a second or two.
QUICK = {
    "graphs": {"left_out"},
    "chunks": {"chunk", "step_ms", "peak_mb"},
    "small_cards": {"card_gb", "precision", "chunk", "step_ms", "peak_mb"},
    "flips": {"method", "precision", "images", "flips", "flips_rounded"},
}


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Called]:
    """Calls the command in this process, with measurements in place of those that there are."""

    def call(only: str, *options: str, **measurements: Callable[[Bench], Rows]) -> Measured:
        for name, measurement in measurements.items():
            monkeypatch.setitem(gpu.MEASUREMENTS, name, measurement)
        given = ["gpu", "--dry", "--only", only, "--out", str(tmp_path / "out"), *options]
        monkeypatch.setattr(sys, "argv", given)
        with pytest.raises(SystemExit) as ended:
            gpu.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, kept(tmp_path / "out")

    with arithmetic.restored():
        yield call


def kept(folder: Path) -> list[dict[str, Any]]:
    """The rows of the JSON file, all of which are rows of the tables."""
    rows: list[dict[str, Any]] = json.loads((folder / "gpu.json").read_text())["rows"]
    lines = [line for line in (folder / "gpu.md").read_text().splitlines() if line[:1] == "|"]
    assert len(lines) == len(rows) + 2 * len({row["measurement"] for row in rows})
    assert sorted(path.name for path in folder.iterdir()) == ["gpu.json", "gpu.md"]
    return rows


def named(rows: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["measurement"] == name]


def fine(bench: Bench) -> Rows:
    yield {"number": 1}
    yield {"number": 2}


def failing(bench: Bench) -> Rows:
    yield {"number": 1}
    raise ValueError("two\nlines")


def test_the_quickest_measurements_write_their_columns(called: Called) -> None:
    code, rows = called(",".join(QUICK))
    assert code == 0
    assert {row["measurement"]: set(row) - {"measurement"} for row in rows} == QUICK
    assert [row["chunk"] for row in named(rows, "chunks")] == [None, 128, 16]
    assert len(rows) == 1 + 3 + 4 + 4


def test_a_measurement_that_fails_is_named_and_the_others_go_on(
    called: Called, capsys: pytest.CaptureFixture[str]
) -> None:
    code, rows = called("steps,chunks", steps=failing, chunks=fine)
    assert code == 1
    assert named(rows, "steps") == [
        {"measurement": "steps", "number": 1},
        {"measurement": "steps", "failed": "ValueError: two lines"},
    ]
    assert [row["number"] for row in named(rows, "chunks")] == [1, 2]
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row for row in printed if "done_s" not in row] == rows


def test_a_test_that_fails_is_a_failure(called: Called) -> None:
    assert called("tests", tests=lambda bench: iter_rows({"passed": False}))[0] == 1
    assert called("tests", tests=lambda bench: iter_rows({"passed": True}))[0] == 0


def iter_rows(*rows: dict[str, Any]) -> Rows:
    yield from rows


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@programs
def test_a_signal_keeps_the_rows_so_far(
    number: signal.Signals, called: Called, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def asked_to_stop(bench: Bench) -> Rows:
        yield {"number": 1}
        seen.extend(kept(tmp_path / "out"))  # before the measurement ends
        os.kill(os.getpid(), number)
        time.sleep(60)

    code, rows = called("steps,chunks", steps=asked_to_stop, chunks=fine)
    assert seen == rows[:1] == [{"measurement": "steps", "number": 1}]
    assert code == 128 + number
    how = f"ended by {number.name}"
    assert rows[1:] == [{"measurement": name, "left_out": how} for name in ("steps", "chunks")]
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--only steps,chunks" in said and "gpu.json" in said


def test_a_stop_that_a_library_wraps_is_a_stop(called: Called) -> None:
    def wrapping(bench: Bench) -> Rows:
        yield {"number": 1}
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as stop:
            raise RuntimeError("the compiler has failed") from stop

    code, rows = called("steps", steps=wrapping)
    assert code == 130 and "failed" not in rows[-1]


@programs
def test_the_command_itself_ends_with_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry", "--only", "chunks,compiled"]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said and "interrupted; saved: all rows so far" in said
    assert kept(tmp_path / "out")[0] == first


def test_a_folder_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert refused(monkeypatch, "--out", str(folder)) == 2
        assert f"the output folder {folder} cannot be written" in capsys.readouterr().err


def refused(monkeypatch: pytest.MonkeyPatch, *options: str) -> int | str | None:
    """The exit code of a call that measures nothing and writes nothing."""
    monkeypatch.setattr(sys, "argv", ["gpu", "--dry", "--only", "graphs", *options])
    with arithmetic.restored(), pytest.raises(SystemExit) as ended:
        gpu.main()
    return ended.value.code


def test_rows_are_printed_where_they_cannot_be_kept(
    called: Called, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_path = tmp_path / "out" / "gpu.json"

    def in_the_way(bench: Bench) -> Rows:
        json_path.unlink()
        json_path.mkdir()
        yield {"number": 1}
        yield {"number": 2}
        json_path.rmdir()

    code, rows = called("steps,chunks", steps=in_the_way, chunks=fine)
    assert code == 0 and len(rows) == 4  # all, once it can be written again
    printed = capsys.readouterr()
    assert printed.err.count("rows are printed all the same") == 1
    assert '"number": 1' in printed.out


def test_the_limit_ends_a_measurement_early(called: Called) -> None:
    def slow(bench: Bench) -> Rows:
        while True:
            time.sleep(0.05)
            yield {"number": 1}

    started = time.monotonic()
    code, rows = called("steps,chunks", "--minutes", "0.01", steps=slow, chunks=fine)
    assert time.monotonic() - started < 5
    assert code == 0 and len(rows) > 2
    assert rows[-2] == {"measurement": "steps", "left_out": "the rest, after 1 s"}
    assert rows[-1] == {"measurement": "chunks", "left_out": "the time is up"}
    # With five more it has half of the time, and the others the rest.
    others = ("chunks", "flips", "variants", "tests", "runs")
    names = ",".join(("steps", *others))
    code, rows = called(names, "--minutes", "0.03", steps=slow, **dict.fromkeys(others, fine))
    assert [row for row in rows if "left_out" in row] == [
        {"measurement": "steps", "left_out": "the rest, after 1 s"}
    ]


@pytest.mark.parametrize("given", ["nan", "inf", "0", "-1", "nine"])
def test_minutes_are_a_positive_number(
    given: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refused(monkeypatch, f"--minutes={given}", "--out", str(tmp_path)) == 2
    assert f"a positive number of minutes is needed, not {given}" in capsys.readouterr().err


def sleeping(pid_file: Path) -> list[str]:
    """A program that answers no SIGTERM, and waits for another that it has started."""
    return ["sh", "-c", f"trap '' TERM; sleep 60 & echo $! > {pid_file}; wait"]


def runs_still(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{int(pid_file.read_text())}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@programs
def test_programs_that_do_not_end_are_killed_and_named(
    called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_programs, "_GRACE", 0.1)
    commands = {"quick": ["true"], "a": sleeping(tmp_path / "pid"), "b": ["true"]}

    def of_programs(bench: Bench) -> Rows:
        for name, _ in together(commands, bench, 1):
            yield {"number": name}

    started = time.monotonic()
    code, rows = called("steps", "--minutes", "0.03", steps=of_programs)
    assert time.monotonic() - started < 20
    assert code == 1 and rows[0]["number"] == "quick"
    said = rows[1]["failed"]
    assert re.fullmatch(r"Unfinished: not ended within \d+ s, and killed: a; not begun: b", said)
    assert not runs_still(tmp_path / "pid")


@programs
def test_a_signal_ends_the_programs_too(
    called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_programs, "_GRACE", 0.1)

    def of_a_program(bench: Bench) -> Rows:
        commands = {"quick": ["sleep", "1"], "slow": sleeping(tmp_path / "pid")}
        for name, _ in together(commands, bench, 2):
            yield {"number": name}
            os.kill(os.getpid(), signal.SIGTERM)

    assert called("steps", steps=of_a_program)[0] == 143
    assert not runs_still(tmp_path / "pid")


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in gpu.MEASUREMENTS if name not in QUICK])
def test_every_other_measurement_runs_on_a_cpu(name: str, called: Called) -> None:
    code, rows = called(name, "--minutes", "20")
    assert code == 0 and rows
    for row in rows:
        assert set(row) & {"failed", "left_out"} <= ({"left_out"} if "mps" in row else set())
