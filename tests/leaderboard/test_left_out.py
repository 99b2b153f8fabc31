"""What a site is without: a line for each kind of thing, and a list beside the site."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptbench.errors import UserError
from promptbench.leaderboard.accepting import left_out
from promptbench.leaderboard.accepting.left_out import ANALYSIS, RECORD, LeftOut
from promptbench.leaderboard.checking import repetitions
from promptbench.leaderboard.checking.verdicts import Verdict

THINGS = [
    *(LeftOut(RECORD, f"runs/{n}/record.json", "only a part was scored") for n in range(3)),
    LeftOut(RECORD, "runs/9/record.json", "it is cut"),
    LeftOut(ANALYSIS, "study/a.svg", "not a PNG"),
]


def test_each_kind_is_one_line_with_its_count_and_where_the_list_is() -> None:
    assert left_out.told(THINGS, "all in site-left-out.txt") == [
        "left out: 4 records (2 reasons, such as, 3 of them: only a part was scored); "
        "all in site-left-out.txt",
        "left out: 1 file of analyses (not a PNG); all in site-left-out.txt",
    ]
    assert left_out.told([], "nowhere") == []


def test_records_that_repeat_accepted_ones_are_apart_and_said_in_full() -> None:
    again = [LeftOut(RECORD, f"again/{n}/record.json", repetitions.REASON) for n in range(5)]
    lines = left_out.told([*again, *THINGS[:3]], "all in x")
    assert lines == [
        f"left out: 5 records ({repetitions.REASON}); all in x",
        "left out: 3 records (only a part was scored); all in x",
    ]


def test_a_line_stays_short_whatever_the_reason() -> None:
    (line,) = left_out.told([LeftOut(RECORD, "r", "because " * 200)], "all in x")
    assert len(line) < 200


def test_the_list_has_everything_once_under_its_reason() -> None:
    text = left_out.listed(THINGS)
    assert text.count("only a part was scored") == 1
    assert [line.strip() for line in text.splitlines() if line.startswith("    ")] == [
        thing.what for thing in THINGS
    ]
    long = " ".join(["because"] * 200)
    assert long in left_out.listed([LeftOut(RECORD, "r", long)])


def test_reasons_cannot_command_a_terminal() -> None:
    evil = [LeftOut(RECORD, "r", "\x1b[2J")]
    assert "\x1b" not in left_out.listed(evil) + "".join(left_out.told(evil, ""))


def test_names_of_folders_make_no_lines_of_the_list() -> None:
    refused = Verdict(Path("x\n1 record: forged\x1b[2J"), None, "refused", ("it is cut",))
    text = left_out.listed(left_out.of_verdicts([refused]))
    assert text == "1 record: it is cut\n    x\ufffd1 record: forged\ufffd[2J\n"


def test_an_empty_list_removes_that_of_an_earlier_site(tmp_path: Path) -> None:
    site = tmp_path / "site"
    path = left_out.write(THINGS, site)
    assert path == tmp_path / "site-left-out.txt"
    assert path.read_text() == left_out.listed(THINGS)
    assert left_out.write([], site) is None
    assert not path.exists()


@pytest.mark.parametrize("out", [".", "..", "a/..", "new"])
def test_it_lies_beside_whatever_a_site_is_called(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "outer" / "inner"
    (inner / "a").mkdir(parents=True)
    monkeypatch.chdir(inner)
    whole = Path(out).resolve()
    path = left_out.place_beside(Path(out)).resolve()
    assert path == whole.parent / f"{whole.name}-left-out.txt"


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "site-left-out.txt").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*site-left-out\.txt"):
        left_out.write(THINGS, tmp_path / "site")
