"""Pages of what goes wrong: one for each record, reached from its numbers, with its numbers."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from promptbench import records as store
from promptbench.leaderboard.boards import building
from promptbench.leaderboard.web import error_pages, site
from promptbench.leaderboard.web.folder import Templates
from promptbench.records import Record
from promptbench.records.scores import folders
from promptbench.report import mistakes
from promptbench.report.mistakes import finding
from tests.calling import call
from tests.downgrading import of_schema_1
from tests.leaderboard.test_kept_pages import SHARED


def places_on(page: Path) -> list[str]:
    """Where links and pictures of a page lead, from its folder."""
    return re.findall(r'(?:href|src)="([^"#:]+)["#]', page.read_text())


@pytest.fixture(scope="module")
def built(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("errors") / "site"
    site.build(building.accepted(building.judged([finished], None), print), out)
    return out


@pytest.fixture
def trained(finished: Path) -> Record:
    (path,) = store.find([finished / "demo" / "few_shot" / "coop"])
    return store.read(path)


def test_every_record_has_a_page_with_its_numbers(
    built: Path, finished: Path, trained: Record
) -> None:
    pages = {path.name for path in (built / "errors").glob("*.html")}
    records = [store.read(path) for path in store.find([finished])]
    assert pages == {Path(error_pages.page_of(record)).name for record in records}
    text = (built / error_pages.page_of(trained)).read_text()
    (own,) = mistakes.errors([trained], folders([finished]))
    (target,) = trained.targets
    assert f"{sum(target.correct)} of {sum(target.total)} images right" in text
    for label in own.confusions.worst[: error_pages.TOP]:
        right, total = own.confusions.right[label], own.confusions.total[label]
        row = f"<td>{total}</td><td>{right}</td><td>{100 * right / total:.2f}</td>"
        assert f'<th scope="row">{own.name(label)}</th>{row}' in text
    assert own.bins is not None and f"Reliability: ECE {own.bins.error:.2f} %" in text
    assert own.mistakes is not None and own.mistakes[0].key in text


def test_numbers_lead_to_the_pages(built: Path, trained: Record) -> None:
    target = trained.targets[0]
    place = error_pages.anchor(trained, target.dataset, target.classes)
    page, _, identity = place.partition("#")
    assert f'id="{identity}"' in (built / page).read_text()
    assert f'href="../{place}"' in (built / "protocols" / "few_shot.html").read_text()
    assert f'href="../{page}"' in (built / "methods" / "coop.html").read_text()


def test_links_and_pictures_of_a_page_are_there(built: Path, trained: Record) -> None:
    page = built / error_pages.page_of(trained)
    places = places_on(page)
    assert len(places) > 10
    assert all((page.parent / html.unescape(place)).exists() for place in places)
    pictures = [place for place in places if place.startswith("../errors/pictures/")]
    assert len(pictures) > 1 and all(p.endswith(".jpg") for p in pictures)


def test_other_seeds_are_named(trained: Record, tmp_path: Path) -> None:
    other = trained.model_copy(update={"seed": 2, "cell_id": "b" * 64})
    apart = trained.model_copy(update={"preset": "unified", "cell_id": "c" * 64})
    found = list(error_pages.with_all_seeds([other, trained, apart]))
    both = [("seed 1", error_pages.page_of(trained)), ("seed 2", error_pages.page_of(other))]
    assert found[0] == (other, both) and found[1] == (trained, both)
    assert found[2] == (apart, [("seed 1", error_pages.page_of(apart))])
    templates = Templates(tmp_path, SHARED)
    text = error_pages.linked(templates, error_pages.page_of(other), both)
    assert text.count("<a ") == 1 and f'href="../{both[0][1]}">seed 1</a>' in text
    assert not error_pages.linked(templates, error_pages.page_of(apart), found[2][1])


def test_class_names_are_text(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = '"><script>alert(1)</script>'

    def names(part: Any, card: Any) -> tuple[tuple[str, ...], list[str]]:
        return tuple(f"{script}{i}" for i in range(len(part.targets[0].total))), [script]

    monkeypatch.setattr(finding, "_names", names)
    result = call("report", finished, "--errors", "--method", "coop", "--pages", tmp_path / "p")
    assert result.exit_code == 0, result.output
    (page,) = (tmp_path / "p" / "errors").glob("*.html")
    text = page.read_text()
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text


def test_pages_stand_alone(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "pages"
    result = call("report", finished, "--errors", "--pages", out)
    assert result.exit_code == 0 and "wrote 3 pages" in result.stderr
    for page in out.glob("**/*.html"):
        for place in places_on(page):
            assert (page.parent / html.unescape(place)).exists(), (page, place)
    again = call("report", finished, "--errors", "--pages", tmp_path)
    assert again.exit_code == 2 and "is not a site of promptbench" in again.stderr


def test_schema_1_says_that_it_is_accuracy_only(finished: Path, tmp_path: Path) -> None:
    (path,) = store.find([finished / "demo" / "few_shot" / "coop"])
    old = of_schema_1(path, tmp_path / "old")
    result = call("report", tmp_path / "old", "--errors", "--pages", tmp_path / "pages")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "pages" / error_pages.page_of(store.read(old))).read_text()
    assert "accuracy only" in text and "Confusion matrix" in text
    assert "Reliability" not in text and "Most confident" not in text


def test_a_record_without_predictions_shows_what_it_holds(finished: Path, tmp_path: Path) -> None:
    runs = Path(shutil.copytree(finished, tmp_path / "runs"))
    for file in runs.glob("**/predictions/*.gz"):
        file.unlink()
    found = mistakes.errors([store.read(path) for path in store.find([runs])], folders([runs]))
    assert all(errors.bins is None and errors.confusions.whole for errors in found)
