"""The generated datasets: the same bytes everywhere, and cards that hold what they promise."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from promptbench.data.cards import cards
from promptbench.demo import captions, generate, model

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "data_cards" / "demo").glob("*.toml"))
TOKENIZER = model.tokenizer()
GOLDEN = {
    "color_shape": "e7c549130514a7c2",
    "colors": "d5aa495b020bf591",
    "counts": "d06e14341da0376d",
    "digits": "ea1801e97ffaba69",
    "fill_shape": "6796de2704cd6b49",
    "fills": "6207b3bc2fa17906",
    "scenes": "600683ba8e412924",
    "shapes": "118e4859017f508c",
    "shapes_clutter": "491b69319d066ec0",
    "shapes_corrupt": "188385c312778da5",
    "shapes_neon": "4f40b169489bf9ea",
    "shapes_sketch": "77fd456d4f47716a",
    "shapes_v2": "26aa44e57d4781b4",
}


def _options(name: str = "shapes") -> dict[str, object]:
    return dict(cards.load(name).source.options)


def _first(name: str) -> bytes:
    card = cards.load(name)
    return generate.sample(card.source.options, card.classes[0], "test", 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_image_of_each_data_set_is_the_golden_one(name: str) -> None:
    # A change here changes every number of the dataset: raise the card's version with it.
    assert hashlib.sha256(_first(name)).hexdigest()[:16] == GOLDEN[name]


def test_another_process_draws_the_same_bytes() -> None:
    script = (
        "import sys\nfrom promptbench.data.cards import cards\n"
        "from promptbench.demo import generate\n"
        "options = cards.load('scenes').source.options\n"
        "sys.stdout.buffer.write(generate.sample(options, 'water', 'train', 3))"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True)
    assert run.stdout == generate.sample(_options("scenes"), "water", "train", 3)


def test_an_image_depends_on_its_own_class_split_and_index_alone() -> None:
    options = _options()
    both = list(generate.samples(options, ["arrow", "star"], "test", 3))
    alone = list(generate.samples(options, ["star"], "test", 2))
    assert [image for _, image, label in both if label == 1][:2] == [image for _, image, _ in alone]
    assert len({image for _, image, _ in both}) == 6
    assert generate.sample(options, "star", "train", 0) != generate.sample(
        options, "star", "test", 0
    )


def test_samples_come_label_by_label_with_unique_keys() -> None:
    drawn = list(generate.samples(_options(), ["arrow", "star"], "test", 2))
    assert [label for _, _, label in drawn] == [0, 0, 1, 1]
    assert [key for key, _, _ in drawn] == sorted({key for key, _, _ in drawn})
    image = Image.open(io.BytesIO(drawn[0][1]))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rotatoin": [0, 1]}, "unknown option 'rotatoin'"),
        ({"style": "cubist"}, "unknown style 'cubist'"),
        ({"fixed": {"mood": "sad"}}, "unknown fixed attribute 'mood'"),
        ({"fixed": {"fill": "furry"}}, "unknown value of fixed fill 'furry'"),
    ],
)
def test_what_the_generator_does_not_know_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate.sample(_options() | change, "star", "test", 0)


def test_a_missing_option_is_named() -> None:
    options = _options()
    del options["noise"]
    with pytest.raises(ValueError, match="option 'noise' is missing"):
        generate.sample(options, "star", "test", 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_divides_evenly_and_its_class_names_mean_different_things(name: str) -> None:
    card = cards.load(name)
    assert card.name == name
    assert card.suite == "demo"
    assert all(count % len(card.classes) == 0 for count in card.splits.values())
    meanings = Counter(str(captions.read_class_name(cls)) for cls in card.classes)
    assert len(meanings) == len(card.classes)


@pytest.mark.parametrize("name", NAMES)
def test_prompts_are_one_token_per_word(name: str) -> None:
    card, tokenizer = cards.load(name), TOKENIZER
    for class_name in card.classes:
        prompt = card.template.format(class_name)
        assert len(tokenizer.encode(prompt)) == len(prompt.replace(".", " .").split())
