"""The examples of docs/data.md for other fields: their files and commands, as they stand there."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.data.cards import cards
from promptbench.data.shards import store
from promptbench.planning import plan
from promptbench.planning.request import Request
from tests.data.miniatures import _picture

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


def section(start: str) -> tuple[str, list[list[str]]]:
    """The file of a section, and its commands without `promptbench`."""
    text = PAGE[PAGE.index(f"\n### {start}") + 5 :]
    text = text[: text.index("\n### ")]
    (content,) = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    (commands,) = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = commands.replace("\\\n", " ").splitlines()
    return content, [shlex.split(line)[1:] for line in lines]


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(tmp_path / "cards"))
    monkeypatch.setenv("PROMPTBENCH_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()


def call(arguments: list[str]) -> str:
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_remote_sensing(tmp_path: Path) -> None:
    names, (new, prepare, run) = section("Remote sensing")
    (tmp_path / "names.txt").write_text(names)
    for label, line in enumerate(names.splitlines()):
        for number in range(4):
            _picture(tmp_path / "AID" / line.split("\t")[0] / f"{number}.jpg", label, number)
    assert "bare land" in call(new)
    call(prepare)
    card = cards.load("aid")
    assert card.classes == [line.split("\t")[1] for line in names.splitlines()]
    assert card.template.format(card.classes[1]) == "a satellite photo of bare land."
    assert card.splits["test"] == card.splits["train"] == 6
    assert store.folder_of(card, tmp_path / "data").is_dir()
    assert run[run.index("--backbone") + 1] == "remoteclip"


def test_medicine(tmp_path: Path) -> None:
    table, (new, prepare, run) = section("Medicine")
    (tmp_path / "scans.csv").write_text(table)
    for number, row in enumerate(csv.DictReader(table.splitlines())):
        _picture(tmp_path / row["path"], int(row["label"]), number, "PNG")
    assert "pneumonia" in call(new)
    call(prepare)
    card = cards.load("scans")
    assert card.classes == ["no finding", "pneumonia"] and card.title == "Chest X-rays"
    assert card.template.format(card.classes[1]) == "a chest X-ray showing pneumonia."
    assert card.splits == {"train": 2, "val": 2, "test": 2}
    options = dict(zip(run[1::2], run[2::2], strict=True))
    asked = Request(
        [options["--method"]],
        options["--protocol"],
        datasets=[options["--datasets"]],
        shots=int(options["--shots"]),
        suite="demo",  # whose weights are here
    )
    assert plan.build(asked, "fp32").cells
