"""Every command of the documentation is one, and does what it says: run here, or marked.

`promptbench run` and `tune` plan only, which reads all of their options; what takes something that
is not here stands in a block marked with what it needs, and is parsed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import promptbench
from promptbench import forecast
from promptbench.cli import main
from promptbench.data.cards import cards
from promptbench.leaderboard.checking import places
from promptbench.planning.machine import Machine
from promptbench.running import executor
from tests.data.miniatures import _picture
from tests.docs.blocks import PAGES, ROOT, Block, blocks_of, name_of
from tests.tracking import third_party

ELSEWHERE = {"docs/extending/method.md"}  # run as a whole, by test_walk_through.py
PLUGINS = {  # whole examples, under the names that pages give them
    "my_analysis.py": "analysis/drift.py",
    "my_format.py": "report/org.py",
    "my_metric.py": "metrics/worst_class.py",
}
SHOTS = 16  # images of each class that a page's datasets need
BENCHMARKS = "benchmarks/README.md"  # `python -m benchmarks...`: tests/test_benchmarks.py
WITH_COMMANDS = [page for page in PAGES if blocks_of(page)]


def targets() -> set[str]:
    lines = (ROOT / "Makefile").read_text().splitlines()
    return {line.partition(":")[0] for line in lines if not line.startswith(("\t", "#", "."))}


def promptbench_commands(page: Path) -> Iterator[tuple[Block, Sequence[str]]]:
    for block in blocks_of(page):
        for words in block.commands:
            if words[0] == "promptbench":
                yield block, words[1:]


def parse(words: Sequence[str]) -> None:
    """Parse a command as click does, without what its values would have to be on this machine."""
    command: click.Command = main
    ctx = click.Context(main, info_name="promptbench")
    rest = list(words)
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(ctx, name)
        assert found is not None, f"no command {name}"
        command, ctx = found, click.Context(found, info_name=name, parent=ctx)
    values, left, _ = command.make_parser(ctx).parse_args(rest)
    assert not left, f"{left} too many"
    for parameter in command.params:
        value = values.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, ctx)
        if isinstance(parameter, click.Argument) and parameter.required:
            assert value, f"{parameter.name} is missing"
    counts = {name: int(values[name]) for name in ("jobs", "per_gpu") if values.get(name)}
    executor.chosen(Machine(on=values.get("on"), **counts))  # refuses what contradicts each other


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_every_command_is_one(page: Path) -> None:
    for _, words in promptbench_commands(page):
        parse(words)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_what_is_not_promptbench_is_known_or_marked(page: Path) -> None:
    if name_of(page) in {*ELSEWHERE, BENCHMARKS}:
        return
    for block in blocks_of(page):
        for words in block.commands:
            if block.runs_here and words[0] not in ("promptbench", "export"):
                assert words[0] == "make" and words[1] in targets(), words


def test_what_runs_a_block_is_there() -> None:
    named = {block.by for page in WITH_COMMANDS for block in blocks_of(page) if block.by}
    assert named and [by for by in named if not (ROOT / by).is_file()] == []


@pytest.fixture(scope="module")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs as a reader has them: the demo's accepted records, and a cell with what it learned."""
    out = tmp_path_factory.mktemp("docs") / "runs"
    for cell in (ROOT / "leaderboard" / "results" / "demo").glob("*/*/shapes-*"):
        if cell.parent.name in ("zeroshot", "coop", "alignednorm"):
            shutil.copytree(
                cell, out / "demo" / cell.parent.parent.name / cell.parent.name / cell.name
            )
    few = {"datasets": ["fills"], "shots": [1, 2], "set": ["Recipe.epochs=2"]}
    promptbench.run("coop", "few_shot", seeds=[1], out=out, quiet=True, **few)
    promptbench.run("zeroshot", "generalized_base_to_new", datasets=["shapes"], out=out, quiet=True)
    return out


def sentences(folder: Path) -> None:
    """Files of class texts for the demo's datasets, as docs/class-texts.md has them."""
    texts, every = folder / "texts", {}
    texts.mkdir()
    for dataset in ("shapes", "shapes_neon", "color_shape", "counts"):
        own = {name: [f"a photo of {name}."] for name in cards.load(dataset).classes}
        every |= own
        (texts / f"{dataset}.json").write_text(json.dumps(own))
    (folder / "texts.json").write_text(json.dumps(every))
    shutil.copy(texts / "counts.json", folder)


@pytest.fixture
def at_home(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with runs, images and the files that pages name; forecasts measure nothing."""
    shutil.copytree(finished, tmp_path / "runs")
    for label, bird in enumerate(("wren", "robin", "sparrow", "starling")):
        for number in range(2 * SHOTS):
            split = "train" if number % 2 else "test"
            for place in (tmp_path / "birds", tmp_path / "home" / "birds" / split):
                _picture(place / bird / f"{number}.jpg", label, number)
    shutil.copytree(tmp_path / "birds" / "wren", tmp_path / "photos")
    for name, example in PLUGINS.items():
        shutil.copy(ROOT / "tests" / example, tmp_path / name)
    (tmp_path / "curves.py").write_text(third_party.shown("python"))
    sentences(tmp_path)
    (tmp_path / "settings.gin").write_text("Recipe.epochs = 2\n")
    (tmp_path / "cards").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(tmp_path / "cards"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "accepted").mkdir()
    monkeypatch.setattr(places, "results", lambda: tmp_path / "accepted")
    found = forecast.forecast
    monkeypatch.setattr(forecast, "forecast", lambda *given: found(*given[:3], timing=False))
    return tmp_path


def as_run(words: Sequence[str]) -> list[str]:
    """What is given to promptbench for a command: cells are planned, of searches two trials; RUN is
    the cell at hand."""
    cell = min(Path("runs/demo/few_shot/coop").iterdir())
    found = [str(cell) if word == "RUN" else word for word in words]
    if "--trials" in found:  # each is planned as any other
        found[found.index("--trials") + 1] = "2"
    planned = words[0] in ("run", "tune") and "--dry-run" not in words
    return [*found, "--dry-run"] if planned else found


@pytest.mark.parametrize(
    "page", [p for p in WITH_COMMANDS if name_of(p) not in ELSEWHERE], ids=name_of
)
def test_the_commands_of_a_page_run(page: Path, at_home: Path) -> None:
    for block, words in promptbench_commands(page):
        if block.runs_here:
            done = CliRunner().invoke(main, as_run(words))
            assert done.exit_code == 0, (
                f"promptbench {' '.join(words)}\n{done.output}{done.exception!r}"
            )
