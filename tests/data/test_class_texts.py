"""Files of class texts: what is read of them, and what is refused with file, line and class."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptbench.data import class_texts
from promptbench.data.class_texts import ClassTexts
from promptbench.errors import UserError

SENTENCES = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=9
)


def written(tmp_path: Path, data: str | bytes) -> Path:
    path = tmp_path / "texts.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_sentences_are_looked_up_by_name_with_spaces_for_underscores(tmp_path: Path) -> None:
    data = json.dumps({"red_fox": ["one", "two"], "sea anemone": ["three"], "cat": ["c", "c"]})
    found = class_texts.read(written(tmp_path, data))
    assert found.of(("sea_anemone", "red fox", "cat")) == (("three",), ("one", "two"), ("c", "c"))
    assert (found.file, found.sha256) == ("texts.json", hashlib.sha256(data.encode()).hexdigest())


@settings(max_examples=25)
@given(
    st.dictionaries(SENTENCES, st.lists(SENTENCES, min_size=1, max_size=3), min_size=1, max_size=4)
)
def test_every_whole_file_is_read_as_it_was_written(texts: dict[str, list[str]]) -> None:
    spoken = {name.replace("_", " "): tuple(own) for name, own in texts.items()}
    if len(spoken) < len(texts):
        return  # two names for one class, which is refused
    assert class_texts._checked(json.loads(json.dumps(texts))) == spoken


def test_a_byte_order_mark_means_nothing_and_is_part_of_the_hash(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + b'{"cat": ["a cat"]}'
    found = class_texts.read(written(tmp_path, data))
    assert found.of(["cat"]) == (("a cat",),)
    assert found.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ('{"cat": ["a"],\n "dog": ["b" "c"]}', "texts.json, line 2, column 14: not JSON"),
        ("", "line 1, column 1: not JSON"),
        ('[["cat", "a cat"]]', "one JSON object"),
        ("{}", "it holds no class"),
        ('{"cat": []}', "the class 'cat' has an empty list"),
        ('{"cat": "a cat"}', "the class 'cat' must have a list of sentences"),
        ('{"cat": ["a", 3]}', "the class 'cat': sentence 2 is not text, but 3"),
        ('{"cat": [null]}', "sentence 1 is not text, but null"),
        ('{"cat": ["a", " \\n"]}', "the class 'cat': sentence 2 is empty"),
        ('{"cat": ["\\ud83d"]}', "sentence 1 holds half a character"),
        ('{"cat": ["a"], "cat": ["b"]}', "the key 'cat' occurs twice"),
        ('{"red_fox": ["a"], "red fox": ["b"]}', "'red fox' is there twice, with spaces and"),
        ('{"café": ["a"]}'.encode("latin-1"), "it is not UTF-8 text (byte 5 is 0xe9)"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, data: str | bytes, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        class_texts.read(written(tmp_path, data))


def test_classes_without_a_text_are_named_with_what_comes_near() -> None:
    found = ClassTexts("texts.json", "0" * 64, {"Red Fox": ("a",), "cat": ("b",)})
    with pytest.raises(UserError) as caught:
        found.of(["cat", "red_fox", "zebra", "hill", "violin"])
    assert str(caught.value) == (
        "texts.json has no text for 4 classes: 'red_fox' (it has 'Red Fox'); 'zebra'; 'hill'; "
        "and 1 more"
    )


@pytest.mark.parametrize(
    ("given", "dataset", "path"),
    [
        ("texts.json", "", "texts.json"),
        ("birds=texts.json", "birds", "texts.json"),
        ("birds=a=b.json", "birds", "a=b.json"),
        ("./birds=texts.json", "", "birds=texts.json"),
        ("/data/a=b/texts.json", "", "/data/a=b/texts.json"),
    ],
)
def test_a_datasets_own_file_is_named_before_an_equals_sign(
    given: str, dataset: str, path: str
) -> None:
    assert class_texts.parted(given) == (dataset, Path(path))
    whole = class_texts.joined(dataset, Path(path).absolute())
    assert class_texts.parted(whole) == (dataset, Path(path).absolute())
