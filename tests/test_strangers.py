"""Plugins of five kinds in one package of somebody else, a file each, from a run to the site."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.leaderboard.checking import places
from tests.running.test_executors import SCHEDULER
from tests.tracking.third_party import shown

ROOT = Path(__file__).parents[1]
THIRDS = (ROOT / "tests/protocols/plugins/thirds.py").read_text()
# group of entry points -> name, source
PLUGINS = {
    "metrics": ("worst_class", (ROOT / "tests/metrics/worst_class.py").read_text()),
    "trackers": ("curves", shown("python")),
    "executors": ("scheduler", SCHEDULER),
    "protocols": ("thirds", THIRDS.replace("Sequence[str] = ()", 'Sequence[str] = ("colors",)')),
    "analyses": ("drift", (ROOT / "tests/analysis/drift.py").read_text()),
}
FEW = ("--seeds", "1")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package that is installed, as pip would leave it."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "theirs").mkdir()
    info = folder / "theirs-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 2.1\n")
    entries = []
    for group, (name, source) in PLUGINS.items():
        (folder / "theirs" / f"{name}.py").write_text(source)
        entries.append(f"[promptbench.{group}]\n{name} = theirs.{name}\n")
    (info / "entry_points.txt").write_text("\n".join(entries))
    return folder


@pytest.fixture
def inside(package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package is installed in this process and in those that it starts, which all are in its
    folder; no accepted results are shown beside its own."""
    monkeypatch.syspath_prepend(package)
    paths = (str(package), *filter(None, [os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(package)
    (package / "accepted").mkdir(exist_ok=True)
    monkeypatch.setattr(places, "results", lambda: package / "accepted")
    return package


def call(*arguments: str) -> str:
    """What a command writes."""
    found = CliRunner().invoke(main, list(arguments))
    assert found.exit_code == 0, found.output
    return found.stdout


def test_five_plugins_of_one_package_are_listed(inside: Path) -> None:
    assert all(len(source.splitlines()) <= 60 for _, source in PLUGINS.values())
    for group, (name, _) in PLUGINS.items():
        listed = " ".join(call("ls", group).split())
        assert name in listed and "theirs 2.1" in listed


# A run, its processes and a site; each plugin by itself is run in the short form, by tests of its
# own kind (tests/metrics, tests/tracking, tests/running, tests/protocols, tests/analysis).
@pytest.mark.long
def test_five_plugins_of_one_package_are_everywhere(inside: Path) -> None:
    asked = ("--method", "vpt", "--protocol", "thirds", "--metric", "worst_class")
    how = ("--track", "curves", "--on", "scheduler", "--jobs", "2", "--set", "Recipe.epochs=1")
    table = call("run", *asked, *how, "--set", "Recipe.warmup_epochs=0", *FEW)
    assert "worst class" in table and "Thirds" in table and "third" in table
    lines = (inside / "runs" / "curves.csv").read_text().splitlines()
    assert [line.split(";")[1] for line in lines if "vpt" in line][:2] == [
        "epoch",
        "colors/first",
    ]
    text = call("report", "--metric", "worst_class", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["column"] for row in rows} == {"first", "second", "third", "mean"}
    assert {row["metric"] for row in rows} == {"worst_class"}
    said = call("analyze", "drift", "--images", "10")
    assert "Drift of image features" in said
    call("leaderboard", "build", "runs", "--analyses", "analysis")
    pages = {path.name: path.read_text() for path in (inside / "site").rglob("*.html")}
    assert any("Thirds" in page and "worst class" in page for page in pages.values())
    assert any("Drift of image features" in page for page in pages.values())
