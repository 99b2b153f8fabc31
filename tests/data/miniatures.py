"""The fifteen layouts of the field in miniature: real file naming, few classes, small pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image

from promptbench.data.cards import cards
from promptbench.data.cards.cards import DataCard
from tests.data.toy import encoded

TRAIN, VAL, TEST = 4, 1, 3
LABELS = {
    "imagenet": (0, 1, 657, 744, 836, 837),  # missile and sunglasses, twice each
    "imagenet_sketch": (0, 1, 657, 744, 836, 837),
    "imagenetv2": tuple(range(12)),  # "10" sorts before "2" as a string
    "stanford_cars": (0, 1, 13, 144),
    "fgvc_aircraft": (0, 41, 72, 73),
}
UPPER = {"Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"}


def build(name: str, root: Path, card_folder: Path) -> DataCard:
    """Write a miniature of a dataset below `root`, in its real layout, and its card."""
    real = cards.load(name)
    labels = LABELS.get(name, (0, 1, 2, 3))
    mini = _mini_card(real, labels)
    card_folder.mkdir(exist_ok=True)
    content = mini.model_dump(exclude_none=True)
    (card_folder / f"{name}.toml").write_text(tomli_w.dumps(content))
    base = root / mini.source.options["root"]
    {"coop": _coop, "aircraft": _aircraft, "folder": _folder}[mini.source.kind](mini, base)
    return mini


def _mini_card(real: DataCard, labels: tuple[int, ...]) -> DataCard:
    sizes = {"train": TRAIN, "val": VAL, "test": TEST}
    options = dict(real.source.options)
    if "folders" in options:
        options["folders"] = [options["folders"][label] for label in labels]
    classes = [real.classes[label] for label in labels]
    changes: dict[str, Any] = {
        "classes": classes,
        "repeated_names": sorted({c for c in classes if classes.count(c) > 1}),
        "splits": {split: sizes[split] * len(labels) for split in real.splits},
        "fingerprints": {},
        "source": {"kind": real.source.kind, "options": options},
    }
    return DataCard.model_validate(real.model_dump() | changes)


def _picture(path: Path, label: int, number: int, form: str = "JPEG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([label, number]).integers(0, 60, (36, 48, 3), dtype=np.uint8)
    noise[..., label % 3] += 60 + 10 * (label % 12)
    image = Image.fromarray(noise)
    path.write_bytes(encoded(image.convert("P") if form == "GIF" else image, form))


def _numbered(card: DataCard) -> Iterator[tuple[str, int, int]]:
    """(split, label, running number of the class) of every image."""
    for label in range(len(card.classes)):
        number = 0
        for split, total in card.splits.items():
            for _ in range(total // len(card.classes)):
                number += 1
                yield split, label, number


def _coop(card: DataCard, base: Path) -> None:
    options = card.source.options
    rows: dict[str, list[list[Any]]] = {split: [] for split in card.splits}
    # Flowers and Cars do not list their classes in label order.
    late_first = card.name in ("oxford_flowers", "stanford_cars")
    numbered = list(_numbered(card))
    for split, label, number in reversed(numbered) if late_first else numbered:
        name = _NAMES[card.name](card.classes[label], label, number, split)
        form = "PNG" if number == 2 else "GIF" if number == 3 else "JPEG"  # behind .jpg names
        _picture(base / options["images"] / name, label, number, form)
        rows[split].append([name, label, card.classes[label]])
    (base / options["split_file"]).write_text(json.dumps(rows, indent=4))


_NAMES: dict[str, Any] = {
    "caltech101": lambda c, label, n, split: (
        f"{ {v: k for k, v in UPPER.items()}.get(c, c) }/image_{n:04d}.jpg"
    ),
    "oxford_pets": lambda c, label, n, split: f"{c.capitalize()}_{n}.jpg",
    "stanford_cars": lambda c, label, n, split: (
        f"cars_{'test' if split == 'test' else 'train'}/{label * 100 + n:05d}.jpg"
    ),
    "oxford_flowers": lambda c, label, n, split: f"image_{label * 100 + n:05d}.jpg",
    "food101": lambda c, label, n, split: f"{c}/{3065929 + n}.jpg",
    "sun397": lambda c, label, n, split: (
        f"a/{'/'.join(reversed(c.split(' ')))}/sun_anunhwbsxmmdz{label:02d}{n}.jpg"
    ),
    "dtd": lambda c, label, n, split: f"{c}/{c}_{n:04d}.jpg",
    "eurosat": lambda c, label, n, split: f"{c.replace(' ', '')}/{c.replace(' ', '')}_{n}.jpg",
    "ucf101": lambda c, label, n, split: f"{c}/v_{c.replace('_', '')}_g{n:02d}_c03.jpg",
}


def _aircraft(card: DataCard, base: Path) -> None:
    options = card.source.options
    lines: dict[str, list[str]] = {split: [] for split in card.splits}
    for split, label, number in _numbered(card):
        identifier = f"{817494 + label * 1000 + number:07d}"
        _picture(base / options["images"] / f"{identifier}.jpg", label, number)
        lines[split].append(f"{identifier} {card.classes[label]}")
    (base / options["classes"]).write_text("\n".join(card.classes) + "\n")
    for split, rows in lines.items():
        (base / options["lists"][split]).write_text("\n".join(rows) + "\n")


def _folder(card: DataCard, base: Path) -> None:
    options = card.source.options
    for split, label, number in _numbered(card):
        folder = options["folders"][label]
        name = _FOLDER_NAMES[card.name](folder, number, split)
        _picture(base / options["splits"][split] / folder / name, label, number)
    if card.name in ("imagenet_a", "imagenet_r"):
        (base / options["splits"]["test"] / "README.txt").write_text("read me")


_FOLDER_NAMES: dict[str, Any] = {
    "imagenet": lambda folder, n, split: (
        f"{folder}_{n * 7}.JPEG" if split == "train" else f"ILSVRC2012_val_{n:08d}.JPEG"
    ),
    "imagenetv2": lambda folder, n, split: f"{n:040x}.jpeg",
    "imagenet_sketch": lambda folder, n, split: f"sketch_{n}.JPEG",
    "imagenet_a": lambda folder, n, split: f"0.00011{n}_digital clock _ stingray_0.8656.jpg",
    "imagenet_r": lambda folder, n, split: f"{('art', 'cartoon', 'graffiti')[n - 1]}_{n}.jpg",
}
