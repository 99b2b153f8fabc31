"""What is cited, as BibTeX that a parser reads back to what was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from promptbench import records
from promptbench.catalogue import citing
from promptbench.cli import main
from promptbench.core.registry import METHODS, PROTOCOLS
from promptbench.data.cards import cards
from promptbench.report import published
from promptbench.support import bibtex
from promptbench.support.bibtex import Entry
from promptbench.support.version import __version__
from tests.data import toy
from tests.made_records import record

ROOT = Path(__file__).parent.parent.parent


def parsed(text: str) -> dict[str, dict[str, str]]:
    """Entries by key: BibTeX's grammar, as far as it is used; nothing but entries and comments."""
    found: dict[str, dict[str, str]] = {}
    rest = "".join(line for line in text.splitlines(True) if not line.startswith("%"))
    while rest.strip():
        head = re.match(r"\s*@\w+\{([^\s,{}]+),", rest)
        assert head is not None, rest[:80]
        rest, fields = rest[head.end() :], {}
        while (name := re.match(r"\s*(\w+) = \{", rest)) is not None:
            depth, end = 1, name.end()
            while depth:
                if rest[end] == "\\":
                    end += 1
                depth += {"{": 1, "}": -1}.get(rest[end], 0) if rest[end - 1] != "\\" else 0
                end += 1
            fields[name[1]] = rest[name.end() : end - 1]
            rest = rest[end:].lstrip().removeprefix(",")
        assert rest.lstrip().startswith("}"), rest[:80]
        rest = rest.lstrip()[1:]
        assert head[1] not in found, head[1]
        found[head[1]] = fields
    return found


def plain(latex: str) -> str:
    """What LaTeX would print of a field."""
    for escape, character in (("textasciitilde", "~"), ("textasciicircum", "^")):
        latex = latex.replace(f"\\{escape}{{}}", character)
    latex = latex.replace(r"\textbackslash{}", "\0")
    return re.sub(r"\\([&%$#_{}])", r"\1", latex).replace("\0", "\\")


def cited(*names: str) -> dict[str, dict[str, str]]:
    return parsed(citing.bibliography(names).text())


def cite(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, ["cite", *words], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


# --- text --------------------------------------------------------------------------------------


@given(st.text(min_size=1))
def test_any_title_is_read_back(title: str) -> None:
    text = bibtex.text_of([Entry("k", {"title": title, "note": title})])
    [(key, fields)] = parsed(text).items()
    shown = "".join(plain(fields["note"]).split())
    assert key == "k" and fields["title"] == f"{{{fields['note']}}}"
    assert shown == "".join(bibtex.printable(title).split())


def test_keys_are_unique_and_plain() -> None:
    wished = ["a", "A", "a", "Müller, 2020 {x}", "", "你好", "Xiao:2010"]
    entries = [Entry(key, {"title": "t"}) for key in wished]
    assert list(parsed(bibtex.text_of(entries))) == [
        "a", "Aa", "ab", "Muller2020x", "work", "worka", "Xiao:2010"
    ]  # fmt: skip


def test_an_address_stays_an_address() -> None:
    url = "https://a.org/x_y?q=1&z=%20#f"
    fields = parsed(bibtex.text_of([Entry("k", {"title": "t", "url": url + "}{\\ "})]))["k"]
    assert fields["url"].startswith(url) and not re.search(r"[{}\\\s]", fields["url"])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("@article{a:b, title={x {y}}}", "a:b"),
        ("@misc{k, note={a \\} b}} ", "k"),
        ("@misc{k, note={a}", None),
        ("@misc{k, note={a}} @misc{l, note={b}}", None),
        ("Somebody, 2020", None),
        ("@misc{}", None),
    ],
)
def test_an_entry_of_ones_own_is_recognised(text: str, key: str | None) -> None:
    assert bibtex.parsed_key(text) == key


# --- what is cited -----------------------------------------------------------------------------


def test_a_known_paper_has_all_that_is_known() -> None:
    found = cited("coop")
    assert list(found) == ["promptbench", "coop2021"]
    assert found["coop2021"] == {
        "title": "{Learning to Prompt for Vision-Language Models}",
        "author": "{Zhou} and others",
        "year": "2021",
        "eprint": "2109.01134",
        "archivePrefix": "arXiv",
        "url": "https://arxiv.org/abs/2109.01134",
    }
    assert found["promptbench"]["author"] == "{The promptbench developers}"


@pytest.mark.parametrize("order", [("ivlp", "maple"), ("maple", "ivlp")])
def test_a_paper_of_several_methods_is_cited_once(order: tuple[str, str]) -> None:
    text = citing.bibliography(order).text()
    [_, entry] = parsed(text).values()
    assert entry["author"] == "{Khattak} and others"  # which only one of them names
    assert "does not know the authors" not in text


@pytest.mark.parametrize("name", ["coop+dept", "atprompt_coop", "coop+atprompt"])
def test_a_method_on_top_of_another_cites_both(name: str) -> None:
    modifier = "2309.07439" if "dept" in name else "2412.09442"
    assert [f.get("eprint") for f in cited(name).values()] == [None, "2109.01134", modifier]


def test_papers_that_share_a_venue_are_two() -> None:
    assert len(cited("alignednorm", "gmop", "prolog", "gdm")) == 5


def test_what_is_not_known_is_said_and_left_out() -> None:
    text = citing.bibliography(["alignednorm"]).text()
    assert text.startswith(
        "% promptbench does not know the titles of these papers, a name stands for each: "
        "alignednorm\n% promptbench does not know the authors of these papers, add them: "
        "alignednorm\n\n@misc{promptbench,"
    )
    assert parsed(text)["alignednorm2026"] == {
        "title": "{AlignedNorm}", "howpublished": "ICML 2026", "year": "2026"
    }  # fmt: skip


def test_everything_that_has_a_name_can_be_cited() -> None:
    names = [*METHODS.names(), *published.methods(), *PROTOCOLS.names(), *cards.names()]
    found = cited(*names)
    assert len(found) > 60
    for key, fields in found.items():
        assert fields["title"].strip("{}"), key
        assert set(fields) & {"author", "year", "url", "howpublished"}, key
    assert all(title.title for title in published.titles().values())


def test_protocols_and_datasets() -> None:
    found = cited("generalized_base_to_new", "dtd", "ucf101", "imagenetv2", "shapes")
    assert found["generalized_base_to_new2017"]["eprint"] == "1707.00600"
    assert found["cimpoi14describing"]["howpublished"] == "CVPR"
    assert found["DBLP:journals/corr/abs-1212-0402"]["eprint"] == "1212.0402"
    assert found["recht2019imagenet"]["title"] == (
        "{Do ImageNet Classifiers Generalize to ImageNet?}"
    )
    assert len(found) == 5  # shapes is a part of the suite


def test_a_paper_names_its_authors_only_where_it_does() -> None:
    assert citing.authors_of("X (Roy and Etemad, arXiv 1): y", "arXiv 1") == ("Roy", "Etemad")
    assert citing.authors_of("(Zanella and Ben Ayed, arXiv 1)", "arXiv 1") == (
        "Zanella",
        "Ben Ayed",
    )
    assert citing.authors_of("(Zhou et al.,\narXiv 1)", "arXiv 1") == ("Zhou", "others")
    for text in ("(baseline of MaPLe, arXiv 1)", "(arXiv 1)", "Zhou et al., arXiv 12", ""):
        assert citing.authors_of(text, "arXiv 1") == (), text


@pytest.mark.parametrize(
    ("paper", "fields"),
    [
        ("arXiv:2501.01234v2", {"eprint": "2501.01234", "year": "2025"}),
        ("https://arxiv.org/pdf/2501.01234", {"url": "https://arxiv.org/abs/2501.01234"}),
        ("NeurIPS 2023", {"howpublished": "NeurIPS 2023", "year": "2023", "url": ""}),
        ("https://a.org/p, 2020", {"url": "https://a.org/p", "howpublished": "2020"}),
        ("unpublished", {"howpublished": "unpublished", "year": "", "url": ""}),
        ("", {"howpublished": "", "year": "", "url": ""}),
    ],
)
def test_what_a_strangers_paper_says(paper: str, fields: dict[str, str]) -> None:
    assert citing.paper_fields(paper).items() >= fields.items()


@pytest.mark.parametrize(
    ("citation", "expected"),
    [
        ("unknown", None),
        ("", None),
        ("Me & you, 50% done, 2020", {"title": "{Toy}", "note": r"Me \& you, 50\% done, 2020",
                                      "year": "2020"}),
        ("@article{me, title = {Mine}}", {"title": "Mine"}),
        ("A. B. Title. Venue (X), 2020. [k 1]", {"title": "{A. B. Title}", "year": "2020",
                                                 "howpublished": "Venue (X)"}),
    ],
)  # fmt: skip
def test_what_an_own_card_says(citation: str, expected: dict[str, str] | None) -> None:
    text = citing.citation_text(toy.card(citation=citation))
    assert (text and next(iter(parsed(text).values()))) == expected


# --- the command -------------------------------------------------------------------------------


def test_records_say_what_was_used(tmp_path: Path) -> None:
    own = {"name": "mine", "title": "M_1", "paper": "NeurIPS 2030"}
    strange = record(method="coop")
    strange = strange.model_copy(update={"method": strange.method.model_copy(update=own)})
    for name, made in (("known", record(method="mmrlpp")), ("strange", strange)):
        records.write(made, tmp_path / name / "record.json")
    bad = tmp_path / "bad" / "record.json"
    bad.parent.mkdir()
    bad.write_text("{")
    code, text, said = cite("--runs", str(tmp_path))
    assert code == 1 and said.startswith(f"not read: {bad} is not")
    assert said.endswith("\nthe references are without 1 record\n") and said.count("\n") == 2
    found = parsed(text)
    assert found["mine2030"] == {
        "title": r"{M\_1}", "howpublished": "NeurIPS 2030", "year": "2030"
    }  # fmt: skip
    assert "mmrlpp2025" in found and any(f.get("eprint") == "2203.05557" for f in found.values())


def test_names_stand_side_by_side_or_with_commas() -> None:
    assert cite("coop,alignednorm", "dtd") == cite("coop", "alignednorm", "dtd")
    assert cite("coop, alignednorm,dtd")[1].count("\n@") == 4  # and the suite
    assert not [name for name in published.methods() if "," in name]


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    assert cite("coopp")[::2] == (
        2,
        "error: unknown method, protocol or dataset 'coopp'; did you mean 'coop' or 'coop+dpc'?\n",
    )
    code, _, said = cite("--runs", str(tmp_path))
    assert code == 2 and said.startswith("error: no records in ") and said.count("\n") == 1
    assert cite("--runs", str(tmp_path / "none"))[0] == 2


def test_a_method_from_a_file_is_cited(tmp_path: Path) -> None:
    code = (ROOT / "methods" / "zeroshot.py").read_text()
    (tmp_path / "my_method.py").write_text(
        re.sub(r'paper = ".*"', 'paper = "arXiv 2501.01234"', code)
    )
    code_, text, _ = cite("my_method", "--plugin", str(tmp_path / "my_method.py"))
    assert code_ == 0 and parsed(text)["my_method2025"]["eprint"] == "2501.01234"


def test_the_citation_file_is_the_suite() -> None:
    yaml = pytest.importorskip("yaml")
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    suite = cited()["promptbench"]
    assert found["cff-version"] == "1.2.0" and found["type"] == "software"
    assert found["version"] == __version__ and suite["note"] == f"Version {__version__}, Apache-2.0"
    assert found["authors"] == [{"name": "The promptbench developers"}]
    assert suite["title"] == f"{{{found['title']}}}" and found["license"] == "Apache-2.0"
