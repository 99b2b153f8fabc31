"""Class names that are one prompt: found by tokens, refused by `data new`, said by runs."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from promptbench.cli import main
from promptbench.data.cards import cards, new_card, twins
from promptbench.data.shards import store, writing
from promptbench.models import backbones
from promptbench.models.backbones import load_tokenizer
from promptbench.planning import plan, sources
from promptbench.planning.notes import notes_of
from promptbench.planning.request import Request
from promptbench.support.progress import Reporter
from tests.data import toy
from tests.data.test_survey import Ears, noise

CLIP = "ViT-B-16-quickgelu"


def found(*names: str, **changes: object) -> list[list[int]]:
    classes = [*names, "something else", "yet another one"]
    return twins.twins(toy.card(classes=classes, splits={"test": 55}, **changes))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cat"),
        ("ice cream", "Ice_Cream"),
        ("café", unicodedata.normalize("NFD", "café")),
        ("fish & chips", "fish &amp; chips"),
        ("fish", "ﬁsh"),
        ("C 3", "Ｃ 3"),
        ("l'été", "l’été"),
        ("cat-dog", "cat - dog"),
        ("c3po", "C 3 PO"),
        ("cafe latté", "Cafe lattÃ©"),
    ],
)
def test_one_prompt_in_two_spellings(one: str, other: str) -> None:
    assert found(one, "dog", other) == [[0, 2]]
    assert found("dog", other, one) == [[1, 2]]


@pytest.mark.parametrize(
    ("one", "other"),
    [("icecream", "ice cream"), ("C++", "C"), ("cafe", "café"), ("1", "one"), ("猫", "犬")],
)
def test_prompts_that_differ(one: str, other: str) -> None:
    assert found(one, other) == []


def test_names_that_are_declared_may_repeat() -> None:
    assert found("missile", "missile", repeated_names=["missile"]) == []
    assert found("missile", "missile", "Missile", repeated_names=["missile"]) == [[0, 1, 2]]
    assert all(twins.twins(cards.load(name)) == [] for name in cards.names())


def test_the_sentence_names_who_can_never_win() -> None:
    card = toy.card(classes=["Cat", "dog", "cat", "CAT"], splits={"test": 55})
    said = twins.told(card, twins.twins(card))
    assert "'Cat' (class 0), 'cat' (class 2), 'CAT' (class 3)" in said
    assert "'cat' and 'CAT' can never win" in said and "dog" not in said


def test_plain_names_need_no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "load_tokenizer", lambda _: pytest.fail("loaded"))
    assert found("a", "b", "c and d") == []
    with pytest.raises(pytest.fail.Exception, match="loaded"):
        found("tabby", "Tabby")


TOKENS = load_tokenizer(CLIP)


@settings(max_examples=300)
@given(
    st.lists(st.text("aAbB1 -+'._", min_size=1, max_size=5), min_size=2, max_size=8, unique=True)
)
def test_the_short_way_misses_nothing(names: list[str]) -> None:
    names = [name for name in names if name.strip(" _") and name == name.strip()]
    spoken = {name.replace("_", " "): name for name in names}
    names = [*spoken.values(), "zzz"]
    if len(names) < 2:
        return
    prompts = [tuple(TOKENS.encode(f"a photo of a {name.replace('_', ' ')}.")) for name in names]
    card = toy.card(classes=names, splits={"test": 55})
    several = [[i for i, other in enumerate(prompts) if other == p] for p in dict.fromkeys(prompts)]
    with mock.patch.object(backbones, "load_tokenizer", return_value=TOKENS):  # slow to load
        assert twins.twins(card) == [group for group in several if len(group) > 1]


# --- where it is said ---------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Class folders Cat, cat and dog, in places of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PROMPTBENCH_CARDS", raising=False)
    for label, name in enumerate(("Cat", "cat", "dog")):
        for split in ("train", "test"):
            for number in range(2):
                path = tmp_path / "photos" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True) if not path.parent.is_dir() else None
                path.write_bytes(noise(100 * label + 10 * len(split) + number))
    return tmp_path / "photos"


def test_new_refuses_and_given_names_help(photos: Path, tmp_path: Path) -> None:
    made = ["data", "new", "pets", "--source", f"folder:{photos}"]
    refused = CliRunner().invoke(main, made)
    assert refused.exit_code == 2 and "'Cat' (class 0), 'cat' (class 1)" in refused.stderr
    assert "--classes FILE" in refused.stderr and "pets" not in cards.names()
    (tmp_path / "names").write_text("lion\ncat\ndog\n")
    assert CliRunner().invoke(main, [*made, "--classes", str(tmp_path / "names")]).exit_code == 0


def test_prepare_and_runs_warn_of_a_card_that_is_there(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(twins, "twins", lambda card: [])
        new_card.write("pets", f"folder:{photos}", new_card.Facts(), Reporter())
    ears = Ears()
    store.prepare("pets", None, None, writing.WritingOptions(), ears)
    assert sum("'cat' can never win" in line for line in ears.heard) == 1
    request = Request(
        methods=("zeroshot",),
        protocol="few_shot",
        datasets=("pets",),
        shots=1,
        seeds=(1,),
        suite="demo",
    )
    made = plan.build(request, "fp32")
    assert len(made.remarks) == 1 and made.remarks[0].startswith("pets: class names that are one")
    (note,) = notes_of([made, made], made.cells, [])  # several plans may share their data
    assert "'cat' can never win" in note


def test_runs_of_the_fields_datasets_say_nothing() -> None:
    assert sources.shared_prompts(cards.names(), CLIP) == ()


def test_names_of_finished_shards_are_said_not_refused(tmp_path: Path, photos: Path) -> None:
    card = toy.card(classes=["Cat", "cat", "c", "d", "e"])
    writing.write(card, tmp_path / "done", toy.source(), writing.WritingOptions(), Reporter())
    ears = Ears()
    new_card.write("done", f"wds:{tmp_path / 'done'}", new_card.Facts(), ears)
    assert any("'cat' can never win" in line for line in ears.heard)
