"""The section of a method's page on how much its settings matter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from promptbench.leaderboard.boards import sensitivities
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web.folder import Templates
from promptbench.records import Record
from tests.made_records import record
from tests.report.test_sensitivity import tuned

HOSTILE = "<script>alert(1)</script>"


def verdict(own: Record) -> Verdict:
    return Verdict(Path("record.json"), own, "verified")


def page(out: Path, section: object) -> str:
    """A method's page with nothing but the section."""
    shared = {
        "protocols": [],
        "version": "",
        "here": "",
        "alone": False,
        "feed": False,
        "links": [],
    }
    own = (
        "card",
        "parts",
        "joined",
        "facts",
        "rows",
        "same_cells",
        "analyses",
        "equations",
        "cite",
    )
    nothing = dict.fromkeys((*own, "places", "costs", "command"))
    facts = {**nothing, "rows": [], "title": "CoOp", "runs": False, "sensitivity": section}
    Templates(out, shared).write("methods/coop.html", "method.html", **facts)
    return (out / "methods" / "coop.html").read_text()


def test_a_method_with_a_search_has_tables_and_a_figure(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = sensitivities.collect([verdict(tuned()), verdict(record())], tmp_path)
    assert set(found) == {"coop"}
    (section,) = found["coop"]
    href, width, height = section["picture"]
    assert href == "sensitivity/coop-1.svg" and (tmp_path / href).is_file()
    (box,) = re.findall(r'viewBox="0 0 ([^"]+)"', (tmp_path / href).read_text())
    points = map(float, box.split())
    assert [width, height] == [round(each * 4 / 3) for each in points]  # points are 1/72 inch
    text = page(tmp_path, found["coop"])
    assert f'src="../{href}" width="{width}" height="{height}"' in text
    assert "Sensitivity: how much" in text
    spread, importance = section["tables"]
    for table in (spread, importance):
        for title, cells in table["rows"]:
            assert f'<th scope="row">{title}</th>' in text
            assert all(f"<td>{cell}</td>" in text for cell in cells)


def test_a_method_without_one_has_no_section(tmp_path: Path) -> None:
    assert sensitivities.collect([verdict(record())], tmp_path) == {}
    assert "Sensitivity" not in page(tmp_path, [])
    assert not (tmp_path / sensitivities.FOLDER).exists()


def test_hostile_names_are_text(tmp_path: Path) -> None:
    own = tuned()
    method = own.method.model_copy(update={"title": HOSTILE})
    (section,) = sensitivities.collect(
        [verdict(own.model_copy(update={"method": method}))], tmp_path
    )["coop"]
    assert HOSTILE not in page(tmp_path, [section])
    if section["picture"]:
        assert "<script" not in (tmp_path / section["picture"][0]).read_text()
