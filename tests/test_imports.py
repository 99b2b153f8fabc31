"""What is imported by commands that read records: neither torch nor what stands on it.

Settings of installed methods are read from their classes, whose modules import torch: whoever
checks a record against them for the first time waits for that, as do the pages of the site, which
describe methods. What was checked is remembered.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from tests.short_form import first

ACCEPTED = Path(__file__).parents[1] / "leaderboard" / "results"
HEAVY = ("torch", "open_clip", "torchvision", "timm", "webdataset")
COMMAND = "from promptbench.cli import main\nmain(standalone_mode=False)\n"
RESULTS = "import promptbench\nprint(*promptbench.results([sys.argv[1]]).method)\n"


def say_without(code: str, *arguments: str, cache: Path | None = None) -> str:
    """What a process says that runs some code; it has imported none of `HEAVY` when it is over."""
    before = "import sys\ntry:\n"
    after = f"assert not [n for n in {HEAVY!r} if n in sys.modules], 'imported'\n"
    guarded = "".join(f"    {line}\n" for line in code.splitlines())
    code = f"{before}{guarded}except SystemExit as end:\n    assert not end.code\n{after}"
    environment = {**os.environ, **({"PROMPTBENCH_CACHE": str(cache)} if cache else {})}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Copies of a few accepted records."""
    for method in ("coop", "alignednorm", "zeroshot"):
        (first, *_) = sorted((ACCEPTED / "demo" / "base_to_new" / method).iterdir())
        shutil.copytree(first, tmp_path / "runs" / method / first.name)
    return tmp_path / "runs"


@pytest.fixture
def foreign(runs: Path) -> Path:
    """The same records of a method that nobody here has installed."""
    for path in runs.rglob("record.json"):
        record = json.loads(path.read_text())
        record["method"] |= {"name": "elsewhere", "provider": "elsewhere 1.0"}
        path.write_text(json.dumps(record))
    (one,) = (runs / "coop").iterdir()
    return one


def test_tables_and_comparisons(runs: Path) -> None:
    at = str(runs)
    assert "CoOp" in say_without(COMMAND, "report", at)
    assert "CoOp" in say_without(COMMAND, "compare", "coop", "alignednorm", "--runs", at)
    assert "coop" in say_without(RESULTS, at)


@pytest.mark.parametrize(
    "command",
    [
        ("validate",),
        ("leaderboard", "verify"),
        ("leaderboard", "show", "--protocol", "base_to_new"),
    ],
)
def test_what_was_checked_before(command: tuple[str, ...], runs: Path) -> None:
    first = CliRunner().invoke(main, [*command, str(runs)])
    assert first.exit_code == 0, first.output
    again = say_without(COMMAND, *command, str(runs))
    assert again and again in first.output


def test_a_site_of_what_was_checked_before(runs: Path, tmp_path: Path) -> None:
    """What the classes of promptbench's own methods say is known then, too; `cite` reads it."""
    command = ["leaderboard", "build", str(runs), "--out"]
    first = CliRunner().invoke(main, [*command, str(tmp_path / "first")])
    assert first.exit_code == 0, first.output
    say_without(COMMAND, *command, str(tmp_path / "again"))
    for page in ("methods/coop.html", "methods/index.html", "index.html"):
        assert (tmp_path / "again" / page).read_text() == (tmp_path / "first" / page).read_text()
    assert "Learning to Prompt" in say_without(COMMAND, "cite", "--runs", str(runs))


def test_what_was_never_checked_and_names_no_method_of_here(foreign: Path, tmp_path: Path) -> None:
    """Nor do the modules that check records import torch before they need a method."""
    fresh = tmp_path / "fresh"
    said = say_without(COMMAND, "validate", str(foreign), cache=fresh)
    assert said.startswith("valid")


MODULES = [
    *("data.shards.store", "models.backbones", "leaderboard.accepting.standing"),
    *("leaderboard.boards.building", "leaderboard.web.error_pages", "leaderboard.web.thumbnails"),
    *("leaderboard.web.analyses", "planning.cells", "analysis.results", "core.class_list"),
]


def test_modules_that_handle_records() -> None:
    """In one process, which says after which of them something heavy was there."""
    told = f"assert not {{n for n in {HEAVY!r} if n in sys.modules}}"
    say_without("".join(f"import promptbench.{each}\n{told}, {each!r}\n" for each in MODULES))


@pytest.mark.parametrize("module", first(1, MODULES))
def test_each_module_that_handles_records_alone(module: str) -> None:
    say_without(f"import promptbench.{module}\n")
