"""The pages of methods and of records: places, costs, equations, and everything about one cell."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from promptbench import records as store
from promptbench.leaderboard.boards import efficiency, leaders
from promptbench.leaderboard.boards.board import Board
from promptbench.leaderboard.checking import known
from promptbench.leaderboard.checking.verdicts import Verdict
from promptbench.leaderboard.web import (
    dataset_pages,
    equations,
    error_pages,
    field,
    method_pages,
    record_pages,
    site,
)
from promptbench.records import Record


@pytest.fixture
def trained(finished: Path) -> Verdict:
    (path,) = store.find([finished / "demo" / "few_shot" / "coop"])
    return Verdict(path, store.read(path), "consistent", notes=("a note",))


def test_a_place_counts_methods_and_shows_every_row_that_competes(papers: list[Board]) -> None:
    (own,) = [each for each in papers if each.protocol == "base_to_new"]
    (rows,) = (each.rows for each in leaders.leaders(own) if each.name == "inductive")
    for method in (rows[0].method, rows[-1].method, "coop"):
        (found,) = field.places(method, field.fields([own]))
        assert len(found["dots"]) == len(rows)
        mine = max(row.values[own.main].mean for row in rows if row.method == method)
        best = {
            name: max(row.values[own.main].mean for row in rows if row.method == name)
            for name in {row.method for row in rows} - {method}
        }
        below = sum(value < mine for value in best.values())
        assert found["said"].startswith(f"{mine:.2f} (published), higher than {below} of ")
        assert f"of {len(best)} other methods; no rank" in found["said"]
        ends = [float(dot["x"]) for dot in found["dots"]]
        assert (min(ends), max(ends)) == (0.0, 100.0)
        assert sum(dot["own"] for dot in found["dots"]) == sum(r.method == method for r in rows)


def test_dots_of_one_place_do_not_cover_each_other(papers: list[Board]) -> None:
    (own,) = [each for each in papers if each.protocol == "base_to_new"]
    (found,) = field.places("alignednorm", field.fields([own]))
    places = [(float(dot["x"]) * 6.4, dot["level"] * 9) for dot in found["dots"]]
    apart = [
        abs(a[0] - b[0]) >= 8.9 or a[1] != b[1]
        for i, a in enumerate(places)
        for b in places[i + 1 :]
    ]
    assert len(apart) > 100 and all(apart)


def test_a_method_that_competes_nowhere_has_no_place(papers: list[Board]) -> None:
    assert not list(field.places("nobody", field.fields(papers)))


def test_every_own_method_has_equations_and_no_other(papers: list[Board]) -> None:
    for name in known.method_names():
        assert equations.of(name), name
    assert equations.of("coop+dept") == []


MATHML = {"math", "mrow", "mi", "mo", "mn", "msub", "msup", "msubsup", "mfrac", "msqrt", "mtext"}
MATHML |= {"mover", "munder", "mtable", "mtr", "mtd", "mspace", "mstyle"}


def test_mathml_is_that_and_nothing_else() -> None:
    for name in known.method_names():
        for own in equations.of(name):
            tree = ElementTree.fromstring(own["mathml"])
            tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
            assert tags <= MATHML, (name, tags - MATHML)
            assert "\\" not in "".join(tree.itertext()), own["tex"]
            assert not any(key.startswith("on") for e in tree.iter() for key in e.attrib)


def test_mathml_is_made_of_its_latex() -> None:
    pytest.importorskip("latex2mathml", reason="latex2mathml is not installed (extra dev)")
    found = {name: equations.of(name) for name in known.method_names()}
    assert equations.typeset(found) == found


def test_costs_of_a_method_are_its_rows_only(trained: Verdict) -> None:
    page = efficiency.efficiency_page([trained])
    (table,) = efficiency.of_method(page, "coop")
    assert [row["method"] for row in table["rows"]] == ["coop"] and table["columns"]
    assert efficiency.of_method(page, "maple") == []


def test_what_to_cite_is_bibtex(papers: list[Board]) -> None:
    found = {method["name"]: method["cite"] for method in method_pages.methods(papers)}
    assert "2109.01134" in found["coop"] and found["coop"].count("\n@") >= 1
    assert all("@" in text for text in found.values())


def facts(record: Record) -> dict[str, str]:
    page = record_pages.record_page(Verdict(Path("x/record.json"), record, "consistent"))
    return dict([*page["environment"], *page["identity"], *page["settings"], *page["training"]])


def test_a_record_page_has_everything_of_its_cell(trained: Verdict) -> None:
    record = trained.record
    assert record is not None
    found, page = facts(record), record_pages.record_page(trained)
    (target,) = record.targets
    expected = {
        "cell": record.cell_id,
        "training": record.training_id,
        "settings": record.config_sha256,
        "weights of the backbone": record.backbone.sha256,
        "file of learned parameters": record.training.parameters_sha256,
        "images of fills": record.data["fills"].shards_sha256,
        f"predictions of {target.key}": target.predictions_sha256,
        "device": record.environment.device,
        "created": record.created,
        "torch": record.environment.packages["torch"],
        "Recipe.epochs": "2",
    }
    assert {key: found.get(key) for key in expected} == expected
    assert page["results"][0]["value"] == f"{target.accuracy:.2f}"
    assert page["keys"] == record.source.keys and page["notes"] == ("a note",)
    assert [epoch for epoch, _ in page["losses"]["rows"]] == [1, 2]
    commands = page["commands"].splitlines()
    assert [line.split()[:2] for line in commands] == [
        ["promptbench", "run"],
        ["promptbench", "reproduce"],
        ["promptbench", "leaderboard"],
    ]
    assert record.cell_id[:10] in commands[1] and record.cell_id[:10] in page["permalink"]


@pytest.mark.parametrize(("images", "beside"), [(300, "record.json"), (2100, "subset.txt.gz")])
def test_a_record_page_does_not_list_thousands_of_images(
    trained: Verdict, tmp_path: Path, images: int, beside: str
) -> None:
    assert trained.record is not None
    keys = [f"image_{number:06}" for number in range(images)]
    source = trained.record.source.model_copy(update={"keys": keys})
    path = tmp_path / "runs" / store.RECORD
    path.parent.mkdir()
    store.write(trained.record.model_copy(update={"source": source}), path)
    record = store.read(path)
    site.build([Verdict(path, record, "consistent")], tmp_path / "site")
    page = tmp_path / "site" / error_pages.page_of(record)
    text = page.read_text(encoding="utf-8")
    assert f"The {images:,} images" in text and keys[199] in text and keys[200] not in text
    links = re.findall(rf'href="([^"]+{re.escape(beside)})"', text)
    assert len(links) == 2 and all((page.parent / link).is_file() for link in links)


def test_a_method_of_papers_has_no_empty_column_and_links_its_sources(papers: list[Board]) -> None:
    (page,) = [each for each in method_pages.methods(papers) if each["name"] == "alignednorm"]
    assert page["rows"] and not any(rows["seeds"] for rows in page["rows"])
    links = [row["links"] for rows in page["rows"] for row in rows["rows"]]
    assert any(links)


def test_a_dataset_page_says_what_a_visitor_asks_and_folds_what_a_preparer_needs() -> None:
    page = dataset_pages.dataset_page(known.card("dtd"))
    facts, preparing = dict(page["facts"]), dict(page["preparing"])
    assert facts["asks for consent before it is downloaded"] == "yes"
    assert "train: 2,820" in facts["images"]
    archive = preparing["archives"][0]
    assert archive.startswith("dtd-r1.0.1.tar.gz, 596.3 MiB, SHA-256 e428")
    assert archive.endswith(
        ": https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz"
    )
    assert not set(facts) & {"layout", "archives", "source"}
    generated = dict(dataset_pages.dataset_page(known.card("fills"))["facts"])
    assert "unknown" not in generated.values() and "licence source" not in generated


def test_of_many_epochs_some_twenty_losses_are_shown_with_the_last() -> None:
    shown = record_pages._losses([{"ce": float(i)} for i in range(203)])
    epochs = [epoch for epoch, _ in shown["rows"]]
    assert epochs[0] == 1 and epochs[-1] == 203 and 18 <= len(epochs) <= 22
    assert shown["rows"][-1][1] == ["202"]
    assert record_pages._losses([])["rows"] == []


def test_text_of_a_stranger_is_shown_without_what_a_terminal_would_act_on(trained: Verdict) -> None:
    assert trained.record is not None
    record = trained.record.model_copy(update={"config": "a = 1\nb = '\x1b[31m'"})
    page = record_pages.record_page(Verdict(trained.path, record, "consistent"))
    assert "\x1b" not in page["config"] and page["config"].count("\n") == 1
    assert not re.search(r"[\x00-\x08\x1b]", page["heading"])
