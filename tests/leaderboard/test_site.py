"""The site's files: links, downloads, what is replaced and left out, and names are text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest

from promptbench import records
from promptbench.leaderboard.checking import known
from tests.calling import call
from tests.leaderboard_hostile import SCRIPT, hostile


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [v for k, v in attributes if k in ("href", "src") and v]


@pytest.fixture(scope="module")
def built(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the papers and the finished run, for tests that look at it and change nothing."""
    out = tmp_path_factory.mktemp("built") / "site"
    assert call("leaderboard", "build", finished, "--out", out).exit_code == 0
    return out


def test_links_lead_to_files_and_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    pages = sorted(built.glob("**/*.html"))
    assert len(pages) > 20
    for page in pages:
        links = Links()
        links.feed(page.read_text())
        for link in links.found:
            if link.startswith(("https://arxiv.org/", "https://github.com/", "data:,", "#")):
                continue
            if link.startswith(("https://", "http://")) and page.parent.name == "datasets":
                continue  # where their owners publish them
            target = (page.parent / link.split("#")[0]).resolve()
            assert target.is_file() and target.is_relative_to(built), (page, link)


def test_a_users_own_card_stays_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    own = known.card("counts").model_copy(update={"name": "mine", "suite": "own"})
    monkeypatch.setattr(known, "dataset_names", lambda: frozenset({"counts", "mine"}))
    monkeypatch.setattr(known, "card", {"counts": known.card("counts"), "mine": own}.__getitem__)
    assert [card.name for card in known.suite_cards()] == ["counts"]


def test_images_have_their_size_so_that_no_page_jumps() -> None:
    templates = resources.files("promptbench.leaderboard.web") / "templates"
    images = [
        image
        for each in templates.iterdir()
        for image in re.findall(r"<img [^>]*>", each.read_text("utf-8"))
    ]
    assert len(images) > 2
    assert all(" width=" in image and " height=" in image for image in images)


def test_a_suites_banner_stands_once_above_its_metrics(built: Path) -> None:
    text = (built / "methods" / "coop.html").read_text()
    rows = text[text.index('id="rows"') : text.index('id="same-cell"')]
    headings = re.findall(r'protocols/few_shot.html">[^<]*</a>, suite demo', rows)
    (banner,) = {*re.findall(r'<p class="banner"[^>]*>([^<]*)', rows)}
    few = rows[rows.index('few_shot.html">Few-shot classification</a>, suite demo') :]
    assert len(headings) > 2 and few.count(banner) == 1


def test_records_can_be_downloaded_as_they_are(finished: Path, built: Path) -> None:
    own = {p.read_bytes() for p in records.find([finished])}
    assert {p.read_bytes() for p in records.find([built / "records"])} == own


def test_a_record_of_one_shot_is_called_so(built: Path) -> None:
    page = (built / "methods" / "coop.html").read_text(encoding="utf-8")
    assert "fills/all, 1 shot, seed 1" in page


def test_building_again_replaces_a_site_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "site"
    for _ in range(2):
        assert call("leaderboard", "build", "--out", out).exit_code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    refused = call("leaderboard", "build", "--out", tmp_path / "mine")
    assert refused.exit_code == 2 and "is not a site" in refused.stderr
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_refused_records_are_left_out_and_named(runs: Path, coop: Path, tmp_path: Path) -> None:
    record = json.loads(coop.read_text())
    coop.write_text(json.dumps(record | {"limit": 3}))
    found = call("leaderboard", "build", runs, "--out", tmp_path / "site")
    assert found.exit_code == 0 and "left out" in found.stderr and "first 3 images" in found.stderr
    assert "/coop/fills-" not in (tmp_path / "site" / "methods" / "coop.html").read_text()
    (line,) = [line for line in found.stderr.splitlines() if "left out" in line]
    assert line.startswith("left out: 1 record (") and line.endswith(
        "; all in " + str(tmp_path / "site-left-out.txt")
    )
    assert str(coop) in (tmp_path / "site-left-out.txt").read_text()
    coop.write_text(json.dumps(record))
    assert call("leaderboard", "build", runs, "--out", tmp_path / "site").exit_code == 0
    assert not (tmp_path / "site-left-out.txt").exists()  # a list of an earlier site


def test_hostile_names_are_text(runs: Path, tmp_path: Path) -> None:
    hostile(runs)
    site = tmp_path / "site"
    assert call("leaderboard", "build", runs, "--out", site).exit_code == 0
    shown = [page for page in site.glob("**/*.html") if "alert(1)" in page.read_text()]
    errors = {page.name for page in (site / "errors").glob("*-theirs-*.html")}
    named = {"index.html", "few_shot.html", "theirs.html"}
    assert {page.name for page in shown} == named | errors and len(errors) == 1
    for page in shown:
        text = page.read_text()
        assert SCRIPT not in text and "<script>alert" not in text
        for data in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S):
            assert "<" not in data and json.loads(data)


def test_bundled_libraries_are_the_stated_versions_with_their_licences() -> None:
    folder = Path(str(resources.files("promptbench.leaderboard.web"))) / "assets" / "vendor"
    for package, entry in json.loads((folder / "vendor.json").read_text()).items():
        names = list(entry["files"].values())
        script = next(name for name in names if name.endswith(".js"))
        licence = next(name for name in names if name.endswith("LICENSE.txt"))
        assert entry["version"] in (folder / script).read_text()[:400], package
        assert "Permission" in (folder / licence).read_text()


def test_the_workflow_runs_make_targets_that_exist() -> None:
    root = Path(__file__).resolve().parents[2]
    workflow = (root / ".github" / "workflows" / "leaderboard.yml").read_text()
    steps = re.findall(r"^ +run: (.+)$", workflow, re.M)
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.M))
    assert steps == ["make leaderboard-verify", "make leaderboard"]
    assert {step.removeprefix("make ") for step in steps} <= targets
