"""Which class texts a plan's cells have: options, cards, ids, and what the user is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from promptbench.core.registry import METHODS
from promptbench.data.cards import cards
from promptbench.errors import UserError
from promptbench.models import backbones
from promptbench.planning import class_texts, plan
from promptbench.planning.cells import Cell
from promptbench.planning.class_texts import Shelf
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.workers.plan import pins

CUPL = "ZeroShot.class_texts = True"


def planned(*methods: str, **options: Any) -> Plan:
    options = {"protocol": "few_shot", "datasets": "counts", "shots": 1, "seeds": 1, **options}
    return plan.build(Request(list(methods), **options), "fp32", Path("runs"))


def cell_of(*methods: str, **options: Any) -> Cell:
    return planned(*methods, **options).cells[-1]


def write(path: Path, *datasets: str, change: str = "") -> Path:
    names = {name for dataset in datasets for name in cards.load(dataset).classes}
    path.write_text(json.dumps({name: [f"a photo of {name}{change}."] for name in sorted(names)}))
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write(tmp_path / "texts.json", "counts", "shapes")


def test_every_demo_class_has_texts_that_the_demos_clip_can_read() -> None:
    shelf = Shelf("promptbench-tiny", {})
    for name in sorted(cards.generated()):
        assert shelf._checked(name, cards.class_names(name))
    entries = [cards.load(name).class_texts for name in cards.generated()]
    assert entries == ["class_texts.json"] * 13
    path = cards.path_of("counts").with_name("class_texts.json")
    named = {name for dataset in cards.generated() for name in cards.load(dataset).classes}
    assert set(json.loads(path.read_text())) == named


def test_files_of_a_dataset_win_over_those_of_all_and_these_over_cards(
    texts: Path, tmp_path: Path
) -> None:
    def file(**options: Any) -> str:
        return cell_of("hicropl", **options).class_texts["counts"].file

    own = write(tmp_path / "own.json", "counts")
    (folder := tmp_path / "folder").mkdir()
    write(folder / "counts.json", "counts")
    assert file() == "class_texts.json"
    assert file(class_texts=texts) == "texts.json"
    assert file(class_texts=[str(texts), f"counts={own}"]) == "own.json"
    assert file(class_texts={"counts": own, "shapes": texts}) == "own.json"
    assert file(class_texts=folder) == "counts.json"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere.json", "--class-texts nowhere.json: nowhere.json does not exist"),
        ("count={}", "unknown dataset 'count'; did you mean 'counts'?"),
        (["{}", "./{}"], "names texts.json and texts.json for every dataset"),
        (["counts={}", "counts={}"], "texts.json is the second file of counts"),
        ("counts=.", "is a folder; name one file"),
        (".", "(--class-texts) has no counts.json; it has texts.json; name the one"),
        ("", "class_texts must be a path, DATASET=FILE"),
        ({"counts": 3}, "class_texts must be a path, DATASET=FILE"),
    ],
)
def test_options_that_do_not_hold_are_refused(
    texts: Path, monkeypatch: pytest.MonkeyPatch, given: Any, said: str
) -> None:
    monkeypatch.chdir(texts.parent)
    name = texts.name
    if isinstance(given, str | list):
        filled = [each.format(name) for each in ([given] if isinstance(given, str) else given)]
        given = filled[0] if isinstance(given, str) else filled
    with pytest.raises(UserError, match=re.escape(said)):
        planned("hicropl", class_texts=given)


def test_a_class_without_a_text_is_named_with_dataset_file_and_option(tmp_path: Path) -> None:
    path = write(tmp_path / "texts.json", "counts")
    path.write_text(path.read_text().replace('"one object"', '"One object"'))
    said = (
        r"class texts of counts: texts.json has no text for a class: 'one object' \(it has "
        r"'One object'.*\); add them, or name another file: --class-texts counts=FILE"
    )
    with pytest.raises(UserError, match=said):
        planned("hicropl", class_texts=path)


def test_only_classes_that_are_learned_or_compete_need_a_text(tmp_path: Path) -> None:
    names = cards.load("counts").classes
    path = tmp_path / "base.json"
    path.write_text(json.dumps({name: ["a text."] for name in names[:2]}))
    shelf = class_texts.shelf_of([str(path)], "promptbench-tiny")
    (leg,) = planned("zeroshot", protocol="base_to_new").legs
    only_base = type(leg)(leg.source, tuple(t for t in leg.targets if t.classes == "base"))
    assert set(shelf.of(only_base)) == {"counts"}
    with pytest.raises(UserError, match="no text for 2 classes: 'three objects'"):
        shelf.of(leg)


def test_a_text_that_the_text_tower_cannot_read_to_its_end_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "texts.json", "counts", change=" on" * 30)
    said = r"class texts of counts: texts.json has for 'one object' a text of 38 tokens, 'a photo"
    with pytest.raises(UserError, match=said):
        planned("hicropl", class_texts=path)


def test_ids_hang_on_the_texts_of_methods_that_use_them_and_of_no_other(
    texts: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other.json", "counts", change=" again")
    same = tmp_path / "same.json"
    same.write_bytes(texts.read_bytes())
    for methods, options in ((["coop"], {}), (["zeroshot"], {})):
        ids = {cell_of(*methods, class_texts=each, **options).id for each in ((), texts, other)}
        assert len(ids) == 1
    for methods, options in ((["hicropl"], {}), (["zeroshot"], {"set": CUPL})):
        cells = [cell_of(*methods, class_texts=each, **options) for each in (texts, other, same)]
        assert cells[0].id == cells[2].id and cells[0].training_id == cells[2].training_id
        assert cells[0].id != cells[1].id and cells[0].training_id != cells[1].training_id


def test_texts_of_another_target_move_the_cell_and_not_the_training(
    texts: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other.json", "counts", change=" again")
    options = {"protocol": "cross_dataset", "datasets": "counts"}
    first = cell_of("hicropl", class_texts=texts, **options)
    second = cell_of("hicropl", class_texts=[str(texts), f"counts={other}"], **options)
    assert first.training_id == second.training_id and first.id != second.id


def test_ids_from_before_there_were_class_texts_stay() -> None:
    """Of settings that are younger than the first records, the usual values are in no id."""
    cell = cell_of("zeroshot")
    assert cell.parameters == {} and cell.overrides == []
    assert cell.training_id[:16] == "b64c2707ef276c9c"
    changed = cell_of("zeroshot", set=["ZeroShot.templates = ('a {}.', 'the {}.')", CUPL])
    assert changed.overrides == [
        "ZeroShot.class_texts = True",
        "ZeroShot.templates = ('a {}.', 'the {}.')",
    ]


def test_all_takes_methods_that_use_texts_where_there_are_some(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cards.load
    monkeypatch.setattr(
        cards, "load", lambda name: whole(name).model_copy(update={"class_texts": None})
    )
    made = planned("all")
    users = [name for name in METHODS.names() if METHODS.load(name).cls.class_texts is True]
    assert "hicropl" in users
    reason = "(it uses sentences about the classes, and no file is named for counts: add --class-t"
    assert [r for r in made.left_out if reason in r] == [
        r for r in made.left_out if r.split()[0] in users
    ]
    assert not {cell.method.name for cell in made.cells} & set(users)
    assert set(users) <= {c.method.name for c in planned("all", class_texts=texts).cells}
    with pytest.raises(UserError, match=r"hicropl cannot run under few_shot: it uses sentences"):
        planned("hicropl")
    with pytest.raises(UserError, match=r"no class texts of counts: name a file"):
        planned("zeroshot", set=CUPL)


def test_the_user_hears_which_methods_use_no_file(texts: Path) -> None:
    def remarks(*methods: str, **options: Any) -> list[str]:
        made = planned(*methods, class_texts=str(texts), **options)
        return [remark for remark in made.remarks if "--class-texts" in remark]

    assert remarks("coop") == ["note: --class-texts is not used: zeroshot, coop use no class texts"]
    assert remarks("hicropl") == ["note: --class-texts is for hicropl; zeroshot uses none"]
    assert remarks("hicropl", baseline=False) == []
    strange = planned("hicropl", class_texts=f"shapes={texts}", baseline=False).remarks
    assert "note: --class-texts shapes=...: shapes is not a dataset of this run" in strange
    assert planned("hicropl").remarks == planned("coop").remarks


def test_a_file_that_is_not_read_by_any_method_must_hold_all_the_same(tmp_path: Path) -> None:
    (broken := tmp_path / "texts.json").write_text('{"a": []}')
    with pytest.raises(UserError, match="the class 'a' has an empty list"):
        planned("coop", class_texts=broken)


def test_a_plan_pins_the_texts_of_each_dataset(texts: Path, tmp_path: Path) -> None:
    mine = pins.of_here([planned("hicropl", "coop", class_texts=texts)])
    other = write(tmp_path / "other.json", "counts", change=" again")
    theirs = pins.of_here([planned("hicropl", "coop", class_texts=other)])
    said = pins.differences(mine, theirs)
    names = [theirs["class texts of counts (hicropl)"], mine["class texts of counts (hicropl)"]]
    a, b = (str(name)[:12] for name in names)
    assert said == [f"other class texts of counts (hicropl) ({a} instead of {b})"]


def test_a_tokenizer_that_comes_with_the_weights_is_not_asked_for_at_planning(
    tmp_path: Path,
) -> None:
    """Its files may lie beside them; the text tower refuses what it cannot read to its end."""
    path = tmp_path / "texts.json"
    path.write_text(json.dumps({"cat": ["a very long text " * 50]}))
    assert class_texts._too_long(path, "", ("cat",), "ViT-B-16-SigLIP") == ""
    assert "reads at most 77" in class_texts._too_long(path, "", ("cat",), "ViT-B-16")


def test_texts_are_counted_once_and_others_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "cache"))
    first = class_texts._tokens(["a photo of a cat.", "a"], "ViT-B-16")
    assert first == [8, 3]

    def not_again(*_: object) -> None:
        raise AssertionError("counted again")

    monkeypatch.setattr(backbones, "load_tokenizer", not_again)
    assert class_texts._tokens(["a photo of a cat.", "a"], "ViT-B-16") == first
    for texts, backbone in ((["a", "a photo of a cat."], "ViT-B-16"), (["a"], "ViT-B-32")):
        with pytest.raises(AssertionError, match="counted again"):
            class_texts._tokens(texts, backbone)
