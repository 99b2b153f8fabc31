"""What other programs read of the site: board.json, the feed, and links to the world outside."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from promptbench import records as store
from promptbench.leaderboard.boards import building, exports
from promptbench.leaderboard.boards.board import Board
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import outward
from promptbench.report import published

ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(scope="module")
def both(finished: Path) -> list[Board]:
    """The boards of papers' numbers and of the demo's records."""
    paths = store.find([finished])
    return building.boards([Verdict(path, store.read(path), "consistent") for path in paths])


def test_board_json_has_every_published_number_with_its_source(both: list[Board]) -> None:
    found = json.loads(exports.board_json(both))
    assert found["format"] == "promptbench-board/1"
    for protocol in ("cross_dataset", "domain_generalization"):
        (own,) = [b for b in found["boards"] if (b["protocol"], b["suite"]) == (protocol, "clip")]
        shown = Counter(
            round(value["mean"], 2)
            for row in own["rows"]
            if row["method"] != "zeroshot"
            for value in row["values"].values()
        )
        lines = [line for line in published.lines(protocol) if line["method"] != "zeroshot"]
        assert shown == Counter(round(float(line["value"]), 2) for line in lines)
        assert all(row["source"] and row["origin"] and row["rank"] is None for row in own["rows"])
        assert own["ranks_by"] in [column["key"] for column in own["columns"]]


def test_board_json_leads_to_the_records_of_a_row(both: list[Board], finished: Path) -> None:
    found = json.loads(exports.board_json(both))
    (own,) = [b for b in found["boards"] if (b["suite"], b["protocol"]) == ("demo", "few_shot")]
    assert not own["comparable"]
    places = [place for row in own["rows"] for place in row["records"]]
    assert len(places) == len(store.find([finished])) == len(set(places))
    assert all(place.startswith("records/demo/few_shot/") for place in places)


def test_of_two_seeds_both_values_are_given_and_no_interval() -> None:
    from promptbench.statistics import estimate

    assert exports._value(estimate(2.0, (1.0, 3.0))) == {"mean": 2.0, "seeds_between": [1.0, 3.0]}
    three = exports._value(estimate(2.0, (1.0, 2.0, 3.0), (0.0, 4.0)))
    assert three == {"mean": 2.0, "interval": [0.0, 4.0]}


def test_the_feed_has_the_newest_row_first_and_keeps_its_ids(both: list[Board]) -> None:
    text = exports.feed(both, pytest.fail)
    assert text is not None
    top = ElementTree.fromstring(text)
    entries = top.findall(f"{ATOM}entry")
    assert len(entries) == 2  # CoOp and the zero-shot row; papers' numbers have no date
    moments = [entry.findtext(f"{ATOM}updated") or "" for entry in entries]
    assert moments == sorted(moments, reverse=True) and all(m.endswith("Z") for m in moments)
    assert top.findtext(f"{ATOM}updated") == moments[0]
    ids = [entry.findtext(f"{ATOM}id") or "" for entry in entries]
    assert len(set(ids)) == 2 and all(each.startswith("urn:uuid:") for each in ids)
    hrefs = {link.get("href") for entry in entries for link in entry.findall(f"{ATOM}link")}
    assert hrefs == {"methods/coop.html", "methods/zeroshot.html"}
    assert "not comparable" in (entries[0].findtext(f"{ATOM}summary") or "")


def test_a_row_without_a_date_is_named_and_left_out(finished: Path) -> None:
    verdicts = []
    for path in store.find([finished]):
        record = store.read(path)
        undated = record.model_copy(update={"created": "yesterday"})
        verdicts.append(Verdict(path, undated, "consistent"))
    told: list[str] = []
    assert exports.feed(building.boards(verdicts), told.append) is None
    assert len(told) == 2 and all("do not say when" in line for line in told)


@pytest.mark.parametrize("dated", [0, 1, 2])
def test_that_there_is_a_feed_is_known_before_there_are_boards(dated: int, finished: Path) -> None:
    verdicts = []
    for number, path in enumerate(store.find([finished])):
        record = store.read(path)
        if number >= dated:
            record = record.model_copy(update={"created": "yesterday"})
        verdicts.append(Verdict(path, record, "consistent"))
    there = exports.feed(building.boards(verdicts), lambda _: None) is not None
    assert exports.has_feed(verdicts) == there == (dated > 0)
    assert not exports.has_feed([])


def test_without_records_there_is_no_feed() -> None:
    assert exports.feed(building.boards([]), pytest.fail) is None


def test_no_more_entries_than_it_takes(both: list[Board], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "MOST", 1)
    text = exports.feed(both, pytest.fail) or ""
    assert text.count("<entry>") == 1


def test_boards_that_are_alike_give_the_same_text(both: list[Board]) -> None:
    again = [replace(each) for each in both]
    assert exports.board_json(both) == exports.board_json(again)


def test_links_outward_are_those_of_the_package_and_no_others() -> None:
    said = [
        "Source Code, https://example.org/code",
        "Docs, https://example.org/docs",
        "Issues, javascript:alert(1)",
        "Funding, https://example.org/money",
    ]
    expected = [
        ("repository", "https://example.org/code"),
        ("documentation", "https://example.org/docs"),
    ]
    assert outward.links_of(said) == expected
    assert outward.links_of([]) == []
