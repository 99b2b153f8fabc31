"""Records of schema 1 hold labels and no probabilities: wherever that matters it is said."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from promptbench import records as store
from promptbench.leaderboard.boards import building
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import pages, site
from tests.calling import call
from tests.downgrading import of_schema_1
from tests.made_records import confuse, record

BADGE = '<span class="state labels">accuracy only</span>'


@pytest.fixture(scope="module")
def mixed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zero-shot row as it is today, CoOp's as schema 1 had it."""
    folder = tmp_path_factory.mktemp("mixed") / "runs"
    shutil.copytree(finished, folder)
    (coop,) = store.find([folder / "demo" / "few_shot" / "coop"])
    old = of_schema_1(coop, folder / "old").parent
    shutil.rmtree(coop.parent)
    old.rename(coop.parent)
    return folder


def test_verify_marks_each_record_and_counts_them(mixed: Path) -> None:
    said = call("leaderboard", "verify", mixed)
    assert said.exit_code == 0, said.output
    marked = {
        Path(line.split()[1]).parts[-3]: line.endswith("record.json (schema 1: accuracy only)")
        for line in said.stdout.splitlines()
        if line.startswith("verified")
    }
    assert marked == {"coop": True, "zeroshot": False}
    assert said.stderr.splitlines()[-1] == "2 verified; 1 of 2 schema 1: accuracy only"


def test_without_such_records_nothing_is_said(finished: Path) -> None:
    said = call("leaderboard", "verify", finished)
    assert "accuracy only" not in said.output and said.stderr.endswith("2 verified\n")


def test_the_site_marks_rows_and_records(mixed: Path, tmp_path: Path) -> None:
    site.build(building.judged([mixed], None), tmp_path / "site")
    page = (tmp_path / "site" / "protocols" / "few_shot.html").read_text()
    lines = re.findall(r'<tr id="[^"]*" class="verified.*?</tr>', page, re.DOTALL)
    assert lines
    for line in lines:
        assert (BADGE in line) == ("methods/coop.html" in line)
    coop, frozen = (
        (tmp_path / "site" / "methods" / f"{name}.html").read_text()
        for name in ("coop", "zeroshot")
    )
    (record_of_coop,) = re.findall(r"<summary>fills.*?</summary>", coop)
    assert BADGE in record_of_coop and coop.count(BADGE) > 1  # the row's as well
    assert BADGE not in frozen


def of_seeds(*schemas: int) -> list[Verdict]:
    found = []
    for seed, schema in enumerate(schemas, 1):
        made = record(seed).model_dump()
        if schema == 2:
            made["schema_version"] = store.SCHEMA
            for target in made["targets"]:
                confuse(target)
        own = store.Record.model_validate(made)
        found.append(Verdict(Path(str(seed)) / store.RECORD, own, "consistent"))
    return found


@pytest.mark.parametrize(
    ("schemas", "mark"),
    [((2, 2), ""), ((1, 1), "accuracy only"), ((2, 1, 2), "accuracy only: 1 of 3")],
)
def test_a_row_of_both_schemas_says_how_many(schemas: tuple[int, ...], mark: str) -> None:
    of_suite = [b for b in building.boards(of_seeds(*schemas)) if b.suite.name == "clip"]
    ((found, row),) = [(b, row) for b in of_suite for row in b.rows if row.accepted]
    assert row.accuracy_only == mark
    said = [note for note in pages.board_page(found)["notes"] if note.startswith("accuracy only")]
    assert len(said) == bool(mark) and all(row.title in note for note in said)
