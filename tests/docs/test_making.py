"""What the site's pages are made of: links, figures, generated parts, checks."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from docs.making import command_pages, figures, holds, links, record_page, setting_pages
from promptbench import config
from promptbench.cli import main
from promptbench.core.recipe import Recipe
from promptbench.core.registry import METHODS, PROTOCOLS
from promptbench.records import Record
from tests.docs.blocks import PAGES, ROOT, name_of

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "path", "turned"),
    [
        ("[a](../SECURITY.md#not-trusted)", "docs/data.md", "[a](security.md#not-trusted)"),
        ("[a](docs/data.md)", "CONTRIBUTING.md", "[a](data.md)"),
        ("[a](../docs/statistics.md)", "benchmarks/README.md", "[a](statistics.md)"),
        ("[a](../../SECURITY.md)", "docs/extending/method.md", "[a](../security.md)"),
        ("[a](../data.md#images)", "docs/extending/method.md", "[a](../data.md#images)"),
        ("[a](../tests/report/org.py)", "docs/data.md", "[a](source/tests/report/org.py.md)"),
        ("[a](#here) [b](https://example.org/x)", "docs/data.md", None),
        ("[a](missing.md)", "docs/data.md", None),
        ("```\n[a](../SECURITY.md)\n```", "docs/data.md", None),
    ],
)
def test_links_are_turned_for_the_site(text: str, path: str, turned: str | None) -> None:
    assert links.for_the_site(text, path) == (text if turned is None else turned)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_of_the_repository(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            name = target.partition("#")[0]
            assert (page.parent / name).exists(), f"{target} in {name_of(page)}"


def test_sources_that_pages_link_to_are_shown() -> None:
    text = "[a](../tests/report/org.py) [b](data.md) [c](missing.py)"
    assert list(links.sources_in(text, "docs/analysis.md")) == ["tests/report/org.py"]
    assert "class " in links.shown("tests/report/org.py")


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_figures_are_what_the_protocols_say(name: str) -> None:
    drawn = figures.drawn(name)
    assert (figures.FOLDER / f"{name}.svg").read_text(encoding="utf-8") == drawn
    assert f"figures/{name}.svg" in (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")


def test_the_figure_of_base_to_new_learns_half_and_scores_both() -> None:
    learned, _, scored = figures.drawn("base_to_new").partition("<path")
    assert (learned.count('rect class="learned"'), learned.count('rect class="rest"')) == (3, 3)
    assert scored.count('rect class="scored"') == 6
    assert "names: new" in scored and "names: all" in figures.drawn("generalized_base_to_new")


def test_every_setting_has_a_line() -> None:
    page = setting_pages.settings()
    classes = [r.load(n).cls for r in (METHODS, PROTOCOLS) for n in r.names()]
    for cls in (Recipe, *classes):
        for name in config.parameters(cls):
            assert page.count(f"| `{cls.__name__}.{name}` |") == 1
    assert "peak learning rate" in page and "`'sgd'` or `'adamw'` or `'adam'`" in page
    assert "| `AlignedNorm.beta` | `0.9` | float from 0 to 1; share of" in page
    assert "AlignedNorm.n_tokens = 5" in page  # its gin file
    assert "FieldInfo" not in page and "typing." not in page


def test_every_environment_variable_has_a_line() -> None:
    sources = [p for room in ("promptbench", "leaderboard") for p in (ROOT / room).rglob("*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r"PROMPTBENCH_[A-Z_]+", text)) - {"PROMPTBENCH_API"}  # of plugins
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert named == set(re.findall(r"^\| `(PROMPTBENCH_\w+)` \|", page, re.MULTILINE))


def test_every_field_of_a_record_has_a_line() -> None:
    page = record_page.fields()
    for name in Record.model_fields:
        assert f"| `{name}` |" in page
    assert "| `method` | [MethodInfo](#methodinfo) | required |" in page
    assert "9223372036854775807" not in page


def test_every_command_has_its_options() -> None:
    page = command_pages.commands()
    for words in ("run", "leaderboard build", "data new"):
        assert f"# promptbench {words}\n" in page
    assert "<code>--dry-run</code> | Print the plan and stop" in page
    assert "promptbench compare coop alignednorm" in page
    assert "Sentinel" not in page and "\b" not in page


def test_what_a_page_would_load_from_elsewhere_is_found() -> None:
    page = (
        '<link rel="stylesheet" href="https://fonts.example.org/a.css"><script src="//b.org/b.js">'
        '</script><img src="own.png"><a href="https://c.org">c</a><link rel="canonical" '
        'href="https://d.org"><style>@import "https://e.org/e.css";</style>'
    )
    found = holds.loaded_from_elsewhere(page)
    assert found == ["https://fonts.example.org/a.css", "//b.org/b.js", "https://e.org/e.css"]
    assert holds.lost_lists("<p>such as <b>a</b>:\n- one\n- two</p>")
    assert not holds.lost_lists("<p>a - b\nc</p><ul>\n<li>d</li></ul>")


def test_the_readme_is_a_page_with_the_results_that_lie_here() -> None:
    assert len(README.splitlines()) <= 150
    assert README.count("\n![") == 2 and README.count("|---|---:") == 1
    arguments = ["report", str(ROOT / "leaderboard" / "results"), "--format", "csv"]
    report = CliRunner().invoke(main, arguments).stdout
    of_average: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(io.StringIO(report)):
        if (row["group"], row["kind"]) == ("Average", "ours"):
            spread = f" ±{float(row['half_width']):.2f}" if row["half_width"] else ""
            shown = f"{float(row['mean']):.2f}{spread}"
            of_average.setdefault(row["method"], {})[row["column"]] = shown
    lines = [f"| {m} | {v['base']} | {v['new']} | {v['HM']} |" for m, v in of_average.items()]
    assert len(lines) == 6 and "\n".join(lines) in README
    assert f"There are {len(METHODS.names())} methods" in README


def test_the_picture_of_the_site_is_small() -> None:
    assert (ROOT / "docs" / "site.png").stat().st_size < 200_000


def test_the_house_lists_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"[a-z]+(?=[ /,])", page))
    rooms = {p.parent.name for p in (ROOT / "promptbench").glob("*/__init__.py")}
    top = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".")}
    assert rooms - listed == set()
    assert (top & {"methods", "protocols", "docs", "tests", "benchmarks"}) - listed == set()


def test_a_newcomer_finds_what_is_theirs_from_the_first_page() -> None:
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for said, place in (
        ("my own data", "own-data.md"),
        ("my own method", "extending/method.md"),
        ("on Slurm", "cluster.md"),
    ):
        assert re.search(rf"\[[^]]*{said}[^]]*\]\({place}\)", page)


def test_searching_works_where_pages_are_opened_from_a_file_system() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    (script,) = re.findall(r"polyfills: \[(\S+)\]", text)
    assert "  - offline" in text
    assert "iframe-worker" in script  # or the plugin would take one from elsewhere
    code = (ROOT / "docs" / script).read_text(encoding="utf-8")
    assert "Worker" in code and not re.search(r"https?://|sourceMappingURL", code)
    licence = (ROOT / "docs" / script).with_suffix(".LICENSE.txt").read_text("utf-8")
    assert "Permission is hereby granted, free of charge" in licence


WIDE = 102  # what a code block shows on a screen of 1400 pixels without being moved sideways


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_fit_the_page(page: Path) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert not [line for text in blocks for line in text.splitlines() if len(line) > WIDE]
