"""`promptbench.load` and `promptbench predict`: the answers of a run, again, on files."""

from __future__ import annotations

import csv
import io
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

import promptbench
from promptbench import records
from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.records.verify import read_table
from promptbench.support import allotted
from promptbench.using import finding, names
from promptbench.using import images as own_images
from tests.using.conftest import IMAGES, METHODS, cell


def predict(*arguments: object) -> Result:
    found = CliRunner().invoke(main, ["predict", *map(str, arguments)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exc_info
    return found


def refused(*arguments: object) -> str:
    found = predict(*arguments)
    assert found.exit_code == 2 and found.stderr.startswith("error: "), found.output
    return found.stderr


@pytest.mark.parametrize("method", METHODS)
def test_files_get_the_answers_of_the_record(runs: Path, pictures: Path, method: str) -> None:
    folder = cell(runs, method)
    model = promptbench.load(folder)
    record = records.read(folder / records.RECORD)
    table = read_table(record.targets[0], folder)
    answers = model.predict(pictures)
    own = [model.classes[label] for label in table.columns["predicted"]]
    assert answers.labels == own and len(own) == IMAGES
    confidences = [f"{answer.confidence:.4f}" for answer in answers]
    assert confidences == [f"{value:.4f}" for value in table.columns["confidence"]]


@pytest.mark.parametrize("method", ["zeroshot", "coop", "maple", "twosfs"])
def test_logits_are_cosines_of_the_features(runs: Path, pictures: Path, method: str) -> None:
    model = promptbench.load(cell(runs, method))
    image, text = model.features(pictures), model.text_features()
    assert image.shape == (IMAGES, text.shape[1]) and len(text) == len(model.classes)
    assert torch.allclose(image.norm(dim=1), torch.ones(IMAGES))
    scale = model.opened.backbone.towers.logit_scale
    assert torch.allclose(scale * image @ text.T, model.logits(pictures), atol=1e-4)


def test_every_method_has_features_of_images(runs: Path, pictures: Path) -> None:
    for method in METHODS:
        found = promptbench.load(cell(runs, method)).features(pictures / "0.png")
        assert found.shape[0] == 1 and abs(float(found.norm()) - 1) < 1e-5


@pytest.mark.parametrize("method", ["cocoop", "linear_probe"])
def test_classes_without_features_of_their_own(runs: Path, method: str) -> None:
    with pytest.raises(UserError, match="no features of classes that hold for every image"):
        promptbench.load(cell(runs, method)).text_features()


def test_other_classes_and_every_form_of_images(runs: Path, pictures: Path) -> None:
    model = promptbench.load(cell(runs, "coop") / "record.json")
    names = ["red_cat", "blue dog", "sun"]
    of_files = model.logits([pictures / "2.png", str(pictures / "10.png")], names)
    opened = [Image.open(pictures / f"{number}.png") for number in (2, 10)]
    assert torch.equal(model.logits(opened, names), of_files)
    assert torch.equal(model.logits(str(pictures / "[12].png"), names)[1:], of_files[:1])
    answers = model.predict(opened, names, top=2)
    assert [len(answer.top) for answer in answers] == [2, 2] and answers.classes == tuple(names)
    p = of_files.softmax(dim=-1)
    assert answers[0].label == names[int(p[0].argmax())]
    assert abs(answers[0].confidence - float(p[0].max())) < 1e-6
    size = model.preprocess.size
    assert model.logits(torch.zeros(3, 3, size, size)).shape == (3, len(model.classes))
    with pytest.raises(UserError, match=r"must be floats of shape \[n, 3"):
        model.logits(torch.zeros(3, size, size))


def test_a_method_of_trained_classes_only_says_so(runs: Path, pictures: Path) -> None:
    model = promptbench.load(cell(runs, "tipadapter"))
    with pytest.raises(UserError, match="has nothing for 'cat', a class it was not trained on"):
        model.predict(pictures, ["dog", "cat"])


def test_folders_in_natural_order_and_other_files(
    runs: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    (folder / "below").mkdir(parents=True)
    for name in ("10.png", "2.png", "below/without_suffix", ".hidden.png"):
        shutil.copy(pictures / "0.png", folder / name)
    (folder / "notes.txt").write_text("no image")
    found = predict(cell(runs, "coop"), folder, "--format", "json")
    assert found.exit_code == 0
    assert "1 file is not an image, left out: notes.txt" in found.stderr
    images = [entry["image"] for entry in json.loads(found.stdout)["images"]]
    assert [Path(i).name for i in images] == ["2.png", "10.png", "without_suffix"]


def test_broken_images_are_named_one_by_one(runs: Path, pictures: Path, tmp_path: Path) -> None:
    whole = (pictures / "0.png").read_bytes()
    for name, data in (
        ("cut.png", whole[: len(whole) // 2]),
        ("text.jpg", b"hello"),
        ("e.png", b""),
    ):
        (tmp_path / name).write_bytes(data)
    shutil.copy(pictures / "0.png", tmp_path / "good.png")
    folder = cell(runs, "zeroshot")
    found = predict(folder, tmp_path, "--format", "csv", "--top", 2)
    assert found.exit_code == 2
    for name in ("cut.png", "text.jpg", "e.png"):
        assert f"{name} cannot be read: " in found.stderr
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    assert [Path(row["image"]).name for row in rows] == [
        *("good.png", "good.png", "cut.png", "e.png", "text.jpg")
    ]
    assert rows[0]["rank"] == "1" and rows[2]["error"] and not rows[2]["class"]
    with pytest.raises(UserError, match=r"3 images cannot be read: .*cut\.png: .*text\.jpg"):
        promptbench.load(folder).predict(tmp_path)


def test_class_lists(runs: Path, pictures: Path, tmp_path: Path) -> None:
    folder, image = cell(runs, "coop"), pictures / "0.png"
    listed = tmp_path / "names.txt"
    listed.write_text("a, b\nc\n", encoding="utf-8")
    found = predict(folder, image, "--classes", listed, "--format", "json")
    assert json.loads(found.stdout)["classes"] == ["a, b", "c"]
    for classes, said in (
        ("a,b,a", "the class 'a' is there twice"),
        ("red_cat,red cat", "there twice"),
        ("", "there is no class name"),
        ("a,,b", "class name 2 is empty"),
        ("a", "give two class names or more"),
        (tmp_path / "none.txt", "there is no file"),
    ):
        assert said in refused(folder, image, "--classes", classes)


def test_the_table_fits_its_images(
    runs: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    found = predict(cell(runs, "coop"), "0.png", "--top", 2)
    (head, line) = found.stdout.splitlines()
    assert found.exit_code == 0 and head.split() == ["image", "1", "2"]
    assert line.split()[0] == "0.png" and line.count("%") == 2


def test_where_the_table_is_too_wide_each_class_has_a_line(
    runs: Path, tmp_path: Path, pictures: Path
) -> None:
    """Names stay whole, and no column is squeezed until it cannot be read."""
    names = [f"blue star {number}" for number in range(7)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    image, other = (str(pictures / f"{n}.png") for n in (0, 1))
    asked = ("--classes", tmp_path / "names.txt", "--top", 6)
    found = predict(cell(runs, "coop"), image, other, *asked)
    lines = found.stdout.splitlines()
    assert found.exit_code == 0, found.output
    assert len(lines) >= 13 and max(map(len, lines)) <= 80
    assert sum(any(line.rstrip().endswith(name) for name in names) for line in lines) == 12


def test_several_cells_are_listed(runs: Path, pictures: Path) -> None:
    said = refused(runs, pictures)
    assert f"holds {len(METHODS)} finished cells; name one of them" in said
    assert all(str(cell(runs, method)) in said for method in METHODS)
    assert promptbench.load(runs / "demo" / "few_shot" / "coop").title == "CoOp"  # only one below


def test_what_is_not_a_finished_cell(runs: Path, pictures: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "gone", pictures)
    assert "has no finished cell: there is no record.json" in refused(tmp_path, pictures)
    (tmp_path / "a-cell").mkdir()
    (tmp_path / "a-cell" / "failed.log").write_text("out of paper\n\ntrace")
    assert "a-cell failed: out of paper" in refused(tmp_path, pictures)
    assert "does not exist" in refused(cell(runs, "coop"), tmp_path / "no.png")
    assert "no file matches" in refused(cell(runs, "coop"), tmp_path / "*.png")
    (tmp_path / "empty").mkdir()
    assert "there is no image to classify" in refused(cell(runs, "coop"), tmp_path / "empty")


def copied(folder: Path, to: Path, **changes: Any) -> Path:
    """A cell's copy whose record says something else."""
    shutil.copytree(folder, to)
    (to / "SHA256SUMS").unlink()
    record = json.loads((to / "record.json").read_text())
    for path, value in changes.items():
        part = record
        *above, last = path.split("__")
        for name in above:
            part = part[name]
        part[last] = value
    (to / "record.json").write_text(json.dumps(record))
    return to


def test_runs_that_cannot_be_used(runs: Path, pictures: Path, tmp_path: Path) -> None:
    coop = cell(runs, "coop")
    gone = copied(coop, tmp_path / "gone")
    (gone / "learned.safetensors").unlink()
    assert "has no learned.safetensors" in refused(gone, pictures)
    other = copied(coop, tmp_path / "other")
    (other / "learned.safetensors").write_bytes(b"x")
    assert "is not what the record beside it was computed with" in refused(other, pictures)
    weights = copied(coop, tmp_path / "weights", backbone__sha256="0" * 64)
    assert "are not those of the record" in refused(weights, pictures)
    card = copied(coop, tmp_path / "card")
    record = json.loads((card / "record.json").read_text())
    record["data"]["counts"]["card_sha256"] = "0" * 64
    (card / "record.json").write_text(json.dumps(record))
    assert "the data card of counts is not the one of the record" in refused(card, pictures)
    elsewhere = {"backbone__name": "ViT-B-32", "backbone__weights": "/x.pt"}
    missing = copied(coop, tmp_path / "missing", **elsewhere)
    assert "x.pt" in refused(missing, pictures)
    settings = copied(coop, tmp_path / "settings", method__parameters={"n_tokens": 3})
    assert "cannot be made of the record" in refused(settings, pictures)


def test_another_version_is_said(runs: Path, tmp_path: Path) -> None:
    old = copied(cell(runs, "coop"), tmp_path / "old", environment__promptbench="0.0.1")
    with pytest.warns(UserWarning, match=r"computed by promptbench 0\.0\.1"):
        promptbench.load(old)


def test_images_are_decoded_by_as_many_threads_as_cores(
    runs: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    batches = own_images.batches

    def counting(images: Any, target: Any, workers: int, unreadable: Any) -> Any:
        asked.append(workers)
        return batches(images, target, workers, unreadable)

    monkeypatch.setattr(own_images, "batches", counting)
    monkeypatch.setattr(allotted, "threads", lambda: 5)
    folder = cell(runs, "zeroshot")
    promptbench.load(folder).predict(pictures)
    promptbench.load(folder, workers=0).predict(pictures)
    assert predict(folder, pictures).exit_code == 0
    assert predict(folder, pictures, "--workers", 1).exit_code == 0
    assert asked == [5, 0, 5, 1]


def test_the_process_is_left_as_it_was(runs: Path, pictures: Path) -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        promptbench.load(cell(runs, "coop")).predict(pictures / "0.png")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_class_names_that_are_no_text_are_refused_as_such() -> None:
    for given, said in ((["a", 3], "class name 2 is 3, which is no text"), ([0, 1], "name 1 is 0")):
        with pytest.raises(UserError, match=said):
            names.given(given)  # type: ignore[arg-type]


def test_cells_of_other_selection_rules_are_told_apart_in_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Held:
        def __init__(self, path: Path) -> None:
            self.protocol = self
            self.selection = "best validation epoch" if path.parent.name == "b" else "last epoch"

    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text("{}")
    monkeypatch.setattr(records, "read", Held)
    with pytest.raises(UserError, match=r"/a\n.*/b \(best validation epoch\)$"):
        finding.record_at(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights", 3),
        ("class_texts", 3),
        ("class_texts", [3]),
        ("device", 3),
        ("device", None),
        ("precision", 3),
        ("workers", "two"),
        ("workers", 1.5),
        ("workers", -1),
        ("plugin", 3),
        ("plugin", [3]),
    ],
)
def test_values_of_a_wrong_type_are_refused_by_name(runs: Path, name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^{name} must be ") as caught:
        promptbench.load(runs, **{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("run", [3, None, ["runs"], b"runs"])
def test_what_is_no_run_is_refused(run: Any) -> None:
    with pytest.raises(UserError, match=r"^run must be text, not "):
        promptbench.load(run)


@pytest.mark.parametrize("places", [3, None, [3], {"runs": 1}])
def test_what_is_no_place_of_records_is_refused(places: Any) -> None:
    with pytest.raises(UserError, match=r"^places must be a path, or a list of paths, not "):
        promptbench.results(places)


@pytest.mark.parametrize("given", [3, None, [3], b"abc"])
def test_what_is_no_image_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match="images are paths, PIL images or one tensor, not "):
        own_images._items(given)


@pytest.mark.parametrize("given", [3, 1.5, b"abc"])
def test_what_are_no_class_names_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match=r"class names are a list, a file .*, not "):
        names.given(given)
