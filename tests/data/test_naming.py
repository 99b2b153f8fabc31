"""Natural order, and which line of a file of class names is which class."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from promptbench.data.cards import naming
from promptbench.data.layouts import order
from tests.data.toy import refused


@pytest.mark.parametrize(
    "wanted",
    [
        ["0", "1", "2", "10", "11"],
        ["0.zero", "1.one", "2.two", "10.ten"],
        ["class2", "class10", "class100"],
        ["a2b", "a10b", "b1"],
        ["0.0", "1.0", "2.0", "10.0"],
        ["1.25", "1.5", "2", "10"],
        ["-10", "-2", "0", "3"],
        ["7", "08", "0009", "10"],
        ["2", "١٠", "１１", "12"],  # Arabic-Indic and full-width digits
        ["9" * 30, "1" + "0" * 5000],
        ["x" + "9" * 5000, "x1" + "0" * 5000],
        ["1", "10", "a", "b"],
        ["False", "True"],
        ["Zebra", "ant", "été"],
    ],
)
def test_numbers_order_as_numbers(wanted: list[str]) -> None:
    for seed in range(5):
        assert order.natural(random.Random(seed).sample(wanted, len(wanted))) == wanted


@given(st.lists(st.text(), unique=True))
def test_any_texts_have_one_order(texts: list[str]) -> None:
    found = order.natural(texts)
    assert sorted(found) == sorted(texts) and order.natural(reversed(texts)) == found


@given(st.lists(st.integers(), unique=True), st.sampled_from(["{}", "{}.0", "{}e0"]))
def test_whole_numbers_order_by_value(values: list[int], form: str) -> None:
    texts = [form.format(value) for value in values]
    assert order.natural(texts) == [form.format(value) for value in sorted(values)]


@pytest.mark.parametrize("text", ["0", "-1", "2.0", "1,5", ".5", "1e3", "True", "FALSE", "٣"])
def test_bare(text: str) -> None:
    assert order.is_bare(text)


@pytest.mark.parametrize("text", ["", "x1", "1x", "1.2.3", "nan", "yes", "²", "1_0", "-", "3 4"])
def test_not_bare(text: str) -> None:
    assert not order.is_bare(text)


# --- a file of names ----------------------------------------------------------------------------


def match(folders: list[str], *lines: str) -> dict[str, str]:
    """Folder to name, in label order."""
    texts, names = naming.matched(lines, folders, folders, "names.txt")
    return dict(zip(texts, names, strict=True))


NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@pytest.mark.parametrize("form", ["{}", "{}.0", "class{}", "c{}_x", "{:03}", "{} -", "-{}-"])
def test_names_by_position_follow_the_numbers(form: str) -> None:
    folders = [form.format(number) for number in range(11)]
    assert match(sorted(folders), *NUMBERS) == dict(zip(folders, NUMBERS, strict=True))


def test_names_by_position_follow_leading_numbers_with_gaps() -> None:
    assert match(["12.c", "3.a", "9.b"], "x", "y", "z") == {"3.a": "x", "9.b": "y", "12.c": "z"}


@pytest.mark.parametrize(
    ("folders", "lines"),
    [
        (["ant", "bee", "cat"], ["cat", "ant", "bee"]),
        (["1", "2", "10"], ["10", "2", "1"]),
        (["Ant_lion", "bee", "c-at"], ["c at", "ant lion", "Bee"]),
        (["001.Ant_lion", "002.Bee", "010.Cat"], ["Cat", "Ant lion", "Bee"]),
        (["eight8", "five5", "one1"], ["one", "five", "eight"]),
        (["cafe\u0301", "bee"], ["bee", "caf\u00e9"]),
    ],
)
def test_names_that_name_their_folders_are_matched_by_name_in_their_order(
    folders: list[str], lines: list[str]
) -> None:
    found = match(folders, *lines)
    assert list(found.values()) == lines
    for folder, name in found.items():
        assert naming._light(name) in (naming._light(folder), naming._unnumbered(folder))


def test_names_that_the_source_knows_are_matched_by_them() -> None:
    texts, names = naming.matched(["bee", "ant"], ["0", "1"], ["ant", "bee"], "f")
    assert (texts, names) == (["1", "0"], ["bee", "ant"])


def test_pairs_with_tabs_are_taken_as_they_are() -> None:
    assert match(["1", "01", "x2"], "x2\tcat", "01\tant", "1\t a bee") == {
        "x2": "cat",
        "01": "ant",
        "1": "a bee",
    }


@pytest.mark.parametrize(
    ("folders", "lines", "message"),
    [
        (["cat10", "cat2", "dog1"], ["x", "y", "z"], "name 1 is that of 'cat2' .* or of 'cat10'"),
        (["1", "2", "10", "rest"], ["a", "b", "c", "d"], "name 2 is that of '2' .* or of '10'"),
        (["alpha2", "beta1"], ["x", "y"], "'alpha2' .* or of 'beta1'"),  # a running number
        (["1.5 mm", "1.25 mm"], ["x", "y"], "cannot be known"),
        (["Zebra", "ant"], ["x", "y"], "'Zebra' .* or of 'ant'"),  # as file managers sort
        (["1", "01"], ["x", "y"], "'01' and '1' are the same number"),
        (["a1", "a01"], ["x", "y"], "'a01' and 'a1' are the same number"),
        (["ant", "bee", "cat"], ["bee", "ant", "moggy"], "'bee', .* stands where 'ant' is"),
        (["1.ant", "2.bee", "3.cat"], ["Bee", "x", "y"], "source calls '2.bee'"),
        (["n01", "n02"], ["n01 tench", "n02 shark"], "put a tab behind that, so that 'tench'"),
        (["0", "1"], ["0: a", "1: b"], "put a tab behind that"),
        (["a", "b"], ["x", "y", "z"], "names 3 classes, the source has 2"),
        (["a", "b"], ["a\tx", "c\ty"], "folders that the source does not have, .* 'c'"),
        (["a", "b"], ["a\tx", "a\ty"], "folders twice"),
        (["a", "b"], ["a\tx"], "does not name 1 of 2 classes, the first is 'b'"),
        (["a", "b"], ["a\tx", "b y"], "name 2: 'b y' is not FOLDER<tab>NAME"),
    ],
)
def test_what_could_be_meant_in_two_ways_is_refused(
    folders: list[str], lines: list[str], message: str
) -> None:
    refused(f"names.txt.*{message}", match, folders, *lines)


@pytest.mark.parametrize("folders", [["Audi 100", "BMW 320", "Volvo 240"], ["n014", "n021"]])
def test_numbers_that_are_part_of_names_leave_no_doubt(folders: list[str]) -> None:
    names = [f"car {i}x" for i in range(len(folders))]
    assert list(match(folders, *names)) == folders


def test_labels_that_are_numbers_keep_the_order_of_the_source() -> None:
    assert naming.numbered(["a", "b"], [], "f") == ["a", "b"]
    assert naming.numbered(["Ant", "wasp"], ["ant", "bee"], "f") == ["Ant", "wasp"]
    refused("name 1 is 'b'.*write each line as", naming.numbered, ["b", "a"], ["a", "b"], "f")
    refused("names 1 classes", naming.numbered, ["b"], ["a", "b"], "f")


def test_a_tab_pairs_names_with_labels_that_are_numbers() -> None:
    assert naming.numbered(["b\tbee", "a\tant"], ["a", "b"], "f") == ["ant", "bee"]
    assert naming.numbered(["1\tbee", "0\tant"], [], "f") == ["ant", "bee"]
    refused("does not have, the first is '2'", naming.numbered, ["1\tbee", "2\tant"], [], "f")


def test_numbered_lists_of_the_own_names_are_refused() -> None:
    folders = ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
    lines = [f"{number} {name}" for number, name in enumerate(folders, 1)]  # CUB's classes.txt
    refused("names.txt.*own names with a number before each", match, folders, *lines)
    refused("with a number before", naming.numbered, ["0: ant", "1: bee"], ["ant", "bee"], "f")
    assert naming.numbered(["1 ant", "2 wasps"], ["ant", "bee"], "f") == ["1 ant", "2 wasps"]


def test_files_of_names(tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_bytes("\ufeff cafe\u0301 \r\n\r\nbee\r\n".encode())
    assert naming.read(path) == ["caf\u00e9", "bee"]
    path.write_bytes("ant\nbee".encode("utf-16"))
    refused("not UTF-8 text .*save it as UTF-8", naming.read, path)
    refused("No such file", naming.read, tmp_path / "none")


def test_the_first_prompt_is_shown_and_numbers_in_names_are_told() -> None:
    def said(*names: str) -> str:
        return naming.first_prompt(names, [f"a photo of a {name}." for name in names])

    assert said("cat", "dog") == "a prompt reads 'a photo of a cat.'"
    assert said("owl", "001.Albatross").startswith(
        "a prompt reads 'a photo of a 001.Albatross.': 1 of 2 class names hold numbers"
    )
    assert "--classes FILE" in said("n01440764", "n01443537")


def test_pairs_are_shown_in_eighty_columns() -> None:
    texts = [f"n{i:05}" + "猫" * 40 for i in range(1000)]
    names = [f"name {i} " + "x" * 90 for i in range(1000)]
    lines = naming.pairs(texts, names).splitlines()
    assert len(lines) == 18 and max(map(cell_len, lines)) <= 80
    assert "name 0 " in lines[1] and "... 984 more ..." in lines[13] and "name 999 " in lines[-1]
    assert len(naming.pairs(texts[:24], names[:24]).splitlines()) == 25
    assert naming.pairs(["0", "10"], ["a", "b"]).splitlines()[1:] == [
        "     0  0  -> a",
        "     1  10 -> b",
    ]
    assert naming.pairs(["a"], ["a"]).splitlines()[1:] == ["     0  a"]
