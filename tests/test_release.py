"""Checks on pull requests and releases: what they run is there, pinned, and agrees."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptbench.support.version import __version__
from tests import release

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NOTES = (
    "# Changelog\n\n## 2.0.0 (unreleased)\n\n- b\n\n## 1.0.0 (2026-01-01)\n\n- a\n\n## 0.9.0\n\n"
)


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_commits_that_say_their_version(path: Path) -> None:
    """A tag can be moved; a bare hash tells a reader nothing."""
    lines = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert lines
    for line in lines:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_workflows_run_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for step in steps(path):
        command = step.get("run", "")
        assert set(re.findall(r"\bmake ([a-z-]+)", command)) <= targets
        for module in re.findall(r"python -m (tests\.\w+)", command):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_read_and_no_job_may_write_in_two_ways(path: Path) -> None:
    """A job that publishes cannot change the repository, and the other way round."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        may = {what for what, how in job.get("permissions", {}).items() if how == "write"}
        assert not {"contents", "id-token"} <= may, name


def test_forms_ask_for_something() -> None:
    """Forms whose keys are misspelled are not shown."""
    forms = [p for p in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if p.stem != "config"]
    assert {path.stem for path in forms} == {"bug", "method", "published", "result"}
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= set(form)
        for field in form["body"]:
            assert field["type"] in ("input", "textarea", "checkboxes") and field["id"]
            assert field["attributes"]["label"]


def test_notes_are_those_below_the_heading() -> None:
    assert release.notes_of(NOTES, "1.0.0") == "- a\n"


@pytest.mark.parametrize(
    ("version", "said"),
    [("2.0.0", "unreleased"), ("0.9.0", "says nothing"), ("3.0.0", "no heading")],
)
def test_a_release_without_notes_is_refused(version: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        release.notes_of(NOTES, version)


def test_tag_version_and_citation_agree(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(NOTES)
    (tmp_path / "CITATION.cff").write_text("version: 1.0.0\n")
    assert release.checked("v1.0.0", tmp_path, "1.0.0") == "- a\n"
    with pytest.raises(ValueError, match=r"the tag v1\.0\.1 is not"):
        release.checked("v1.0.1", tmp_path, "1.0.0")
    (tmp_path / "CITATION.cff").write_text("version: 0.9.0\n")
    with pytest.raises(ValueError, match=r"CITATION.cff does not cite 1.0.0"):
        release.checked("v1.0.0", tmp_path, "1.0.0")


def test_the_version_of_now_is_cited_and_has_notes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(__version__)}\b", text, re.MULTILINE)
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
