"""A repository of accepted records: where it is looked for, and its workflow on a pull request."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptbench import records
from promptbench.errors import UserError
from promptbench.leaderboard.accepting import standing
from promptbench.leaderboard.checking import places, verdicts
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.support.version import __version__
from tests.calling import call


@pytest.fixture(autouse=True)
def looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests say by themselves where accepted results are."""
    monkeypatch.delenv(places.VARIABLE)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    home = tmp_path / "accepted"
    assert call("leaderboard", "init", home).exit_code == 0
    return home


def git(home: Path, *words: object) -> str:
    own = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", "-C", str(home), *own, *map(str, words)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(home: Path) -> str:
    git(home, "add", "--all")
    git(home, "commit", "-m", "more")
    return git(home, "rev-parse", "HEAD")


def checks(home: Path, base: str, place: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    """What the steps of the workflow come to that need nothing but git and promptbench, up to the
    first that fails."""
    workflow: Any = yaml.safe_load((home / ".github/workflows/leaderboard.yml").read_text())
    steps = workflow["jobs"]["verify-and-build"]["steps"]
    bin_folder = place / "bin"
    if not bin_folder.exists():
        bin_folder.mkdir(parents=True)
        script = f'#!/bin/sh\nexec "{sys.executable}" -W ignore -m promptbench.cli "$@"\n'
        (bin_folder / "promptbench").write_text(script)
        (bin_folder / "promptbench").chmod(0o755)
    root = str(Path(__file__).parents[2])
    env = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "RUNNER_TEMP": str(place),
        "BASE": base,
    }
    done: dict[str, subprocess.CompletedProcess[str]] = {}
    for step in steps:
        if "run" in step and not step["run"].startswith("pip "):
            done[step["name"]] = subprocess.run(
                ["bash", "-eo", "pipefail", "-c", step["run"]],
                cwd=home,
                env=env,
                capture_output=True,
                text=True,
                timeout=300,
            )
            if done[step["name"]].returncode != 0:
                break
    return done


# Over 5 s, since each check is a process of its own.
def test_a_submission_passes_the_workflow_and_a_changed_one_does_not(
    repository: Path, runs: Path, tmp_path: Path
) -> None:
    git(repository, "init")
    base = commit(repository)
    out = tmp_path / "submission"
    told = call("leaderboard", "submit", runs, "--results", repository, "--out", out)
    assert told.exit_code == 0, told.output
    shutil.copytree(out / "results", repository / "results", dirs_exist_ok=True)
    accepted = commit(repository)
    done = checks(repository, base, tmp_path / "first")
    assert {name: step.returncode for name, step in done.items()} == dict.fromkeys(done, 0)
    assert "2 verified" in done["Verify what is added, beside what is accepted"].stderr
    assert "2 verified" in done["Verify the whole"].stderr
    assert (repository / "site" / "index.html").is_file()
    assert git(repository, "status", "--short") == "", "the site is not a part of the repository"

    (path, *_) = records.find([repository / "results"])
    path.write_text(path.read_text().replace('"created": "2', '"created": "1'))
    (repository / "recomputed").mkdir()
    (repository / "recomputed" / "x.json").write_text("{}")
    commit(repository)
    (step,) = checks(repository, accepted, tmp_path / "second").values()
    assert step.returncode == 1 and "recomputed/x.json" in step.stdout
    shutil.rmtree(repository / "recomputed")
    commit(repository)
    (step,) = checks(repository, accepted, tmp_path / "third").values()
    assert step.returncode == 1 and "neither changed nor removed" in step.stdout


def test_what_is_accepted_there_stands(repository: Path, runs: Path, coop: Path) -> None:
    inner = repository / places.RESULTS
    shutil.copytree(runs, inner, dirs_exist_ok=True)
    for given in (repository, inner):
        with places.kept_in(given):
            assert places.results() == inner.resolve()
            assert places.recomputed() == (repository / "recomputed").resolve()
            (own, *_) = records.find([inner])
            assert standing.stands(own) and not standing.stands(coop)
    assert places.results().parts[-2:] == ("leaderboard", "results"), "as before"
    done = call("leaderboard", "verify", "--results", repository)
    assert "2 verified" in done.stderr and done.exit_code == 0
    shown = call("leaderboard", "show", "--protocol", "few_shot", "--results", repository)
    assert "CoOp" in shown.stdout and shown.exit_code == 0


def test_what_stands_is_found_through_links_and_whatever_the_way_there(tmp_path: Path) -> None:
    inner, beside = tmp_path / "there" / "results", tmp_path / "beside"
    for folder in (inner / "demo" / "cell", beside / "results" / "cell"):
        folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "to-results").symlink_to(inner)
    (beside / "linked").symlink_to(inner / "demo")
    (inner / "out").symlink_to(beside / "results")
    inside = [
        inner,
        inner / "demo" / "cell",
        tmp_path / "link" / "results" / "demo",
        tmp_path / "to-results" / "demo" / "cell",
        beside / "linked" / "cell",
        inner / "demo" / ".." / "demo",
    ]
    outside = [
        tmp_path,
        inner.parent,
        beside / "results" / "cell",
        inner / "out" / "cell",
        inner / ".." / "cell",
        tmp_path / "link",
        Path("results"),
        Path(),
    ]
    for other in (inner, tmp_path / "to-results"):
        assert all(standing._lies_in(folder, other) for folder in inside)
        assert not any(standing._lies_in(folder, other) for folder in outside)


def test_the_variable_is_read_where_no_option_is_given(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(places.VARIABLE, str(repository))
    assert places.results() == (repository / places.RESULTS).resolve()
    done = call("leaderboard", "verify")
    assert done.exit_code == 0 and "no records yet" in done.stderr
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"nowhere \(--results or PROMPTBENCH_RESULTS\) is not a"):
        places.results()
    done = call("leaderboard", "verify", "--results", tmp_path / "neither")
    assert done.exit_code == 2 and "neither" in done.stderr


def test_a_repository_is_written_whole_and_over_nothing(repository: Path) -> None:
    workflow = (repository / ".github/workflows/leaderboard.yml").read_text()
    assert f'pip install "promptbench-vlm=={__version__}"' in workflow
    assert "${{ github.ref }}" in workflow and "$$" not in workflow
    again = call("leaderboard", "init", repository)
    assert again.exit_code == 2 and "README.md exists already" in again.stderr
    (repository / "README.md").unlink()
    again = call("leaderboard", "init", repository)
    assert again.exit_code == 2 and not (repository / "README.md").exists()


def test_a_note_on_many_records_is_one_line_unless_each_is_asked_for(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = [("same", "same", "own of a"), ("same",), ()]
    made = [
        Verdict(Path(name), None, "consistent", (), own)
        for name, own in zip("abc", notes, strict=True)
    ]
    assert verdicts.folded_notes(made) == ["2 records: same", "a: own of a"]
    monkeypatch.setattr(standing, "judge", lambda *_: made)
    told = call("leaderboard", "verify", runs)
    assert told.stdout.count("same") == 1 and "note: 2 records: same" in told.stdout
    each = call("leaderboard", "verify", runs, "--verbose")
    assert each.stdout.count("    note: same") == 3 and "2 records" not in each.stdout
