"""Analyses that were written are read again, whatever the machine's language is."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from promptbench.analysis import results
from promptbench.analysis.rows import Number, as_csv
from promptbench.errors import UserError

READ = (
    "import sys; from pathlib import Path; from promptbench.analysis import results; "
    "print(ascii(results.read(Path(sys.argv[1])).title))"
)


def written(folder: Path, title: str) -> Path:
    found = results.Result(
        analysis="norms",
        title=title,
        suite="demo",
        comparable=False,
        protocol="few_shot",
        backbone="promptbench-tiny (demo)",
        images=0,
        methods=["coop"],
        runs=[],
        figures=[],
        rows=[],
    )
    path = folder / "norms.json"
    path.write_bytes(found.model_dump_json().encode())
    return path


def test_a_title_beyond_ascii_is_read_in_a_plain_locale(tmp_path: Path) -> None:
    path = written(tmp_path, "‖Δ‖, gemäß CLS")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        env={**os.environ, **plain},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ascii("‖Δ‖, gemäß CLS")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "x")
    path.write_bytes(b"\xff\xfe" + path.read_bytes())
    with pytest.raises(UserError, match=r"norms\.json is not an analysis of this version"):
        results.read(path)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_names_in_the_csv_are_no_formulas(start: str) -> None:
    name = f"{start}1+1"
    row = Number(name, "coop", name, 1, None, "base", "cls", None, name, "mean_cosine", -0.5)
    (found,) = csv.DictReader(io.StringIO(as_csv([row]), newline=""))
    assert {found[key] for key in ("title", "dataset", "item")} == {f"'{name}".replace("\r", " ")}
    assert found["value"] == "-0.5"
