"""Which methods run on which family of backbones: one cell each, on small members.

    python -m benchmarks.backbones [--families RN50,...] [--markdown FILE]

Of each family a small member with random weights is saved as a folder in Hugging Face's layout and
loaded by its path. Its features must be open_clip's to 1e-5; then every method that claims to run
is trained for two epochs under base_to_new, those for trained classes only under few_shot. Families
whose tokenizer or text tower is of Hugging Face transformers need that package.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.families import FAMILIES, config_of, randomised, register
from promptbench import run
from promptbench.core.registry import METHODS
from promptbench.models import backbones
from promptbench.models.backbones import loading
from promptbench.models.backbones.architectures import build
from promptbench.models.towers import Towers

CPU = torch.device("cpu")
TOLERANCE = 1e-5
TEXTS = ("a photo of a cat.", "three red circles", "a photo of a very large blue square, above.")
LETTERS = {"image_blocks": "b", "image_cls": "c", "text_embeddings": "e", "text_blocks": "t"}
SETTINGS = ("Recipe.epochs=2", "Recipe.warmup_epochs=0")


@dataclass(frozen=True)
class Found:
    """A family: what its towers offer, how far their features are from open_clip's, and of each
    method the accuracy of its cell in percent, or what it lacks."""

    family: str
    offers: frozenset[str]
    image_error: float
    text_error: float
    cells: Mapping[str, float | str]


def examined(family: str, folder: Path) -> Found:
    """Everything about a family, whose small member is saved below a folder."""
    name = saved(family, folder)
    backbone = loading.load(name, str(folder), CPU)
    errors = differences(backbone.towers, backbone.preprocess.size)
    cells: dict[str, float | str] = {}
    for method in METHODS.names():
        cls = METHODS.load(method).cls
        lacking = backbones.lacking_in(name, cls.needs)
        if lacking:
            cells[method] = ", ".join(lacking)
            continue
        cells[method] = _accuracy(method, cls.open_vocabulary, name, folder)
        print(f"{family}: {method} {cells[method]}", file=sys.stderr, flush=True)
    return Found(family, backbone.towers.capabilities, *errors, cells)


def _accuracy(method: str, is_open: bool, name: str, folder: Path) -> float:
    with tempfile.TemporaryDirectory() as out:
        records = run(
            method,
            "base_to_new" if is_open else "few_shot",
            datasets="counts",
            shots=1,
            seeds=1,
            backbone=name,
            weights=str(folder),
            set=list(SETTINGS) if _has_recipe(method) else [],
            limit=32,
            baseline=False,
            device="cpu",
            quiet=True,
            out=out,
        )
    return float(records[0].targets[0].accuracy)


def _has_recipe(method: str) -> bool:
    """Whether a recipe says how the method learns."""
    return METHODS.load(method).cls.paradigm != "zero-shot"


def saved(family: str, folder: Path) -> str:
    """Save a family's small member as the hub has models, and return its architecture's name."""
    text = config_of(family)["text_cfg"]
    changes = {}
    if tokenizer := text.get("hf_tokenizer_name"):
        _save_tokenizer(tokenizer, folder)
        changes["hf_tokenizer_name"] = f"nobody/{tokenizer}"
    if "hf_model_name" in text:
        changes["hf_model_name"] = str(_save_text_config(folder / "text"))
    name = register(family, **changes)
    config = backbones.architecture(name)
    save_file(
        {k: v.contiguous() for k, v in randomised(build(name, config)).state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    stated = {"model_cfg": config, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(stated))
    return name


def differences(towers: Towers, size: int) -> tuple[float, float]:
    """The largest differences of image and text features from open_clip's, relative to the largest
    number."""
    images = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    model, ids = towers.model, towers.text.token_ids(TEXTS)
    with torch.no_grad():
        theirs = (
            model.encode_image(images, normalize=False),
            model.encode_text(ids, normalize=False),
        )
    ours = (
        towers.image.features(towers.image.tokens(images)),
        towers.text.features(towers.text.tokens(TEXTS)),
    )
    image, text = (
        float((o - t).abs().max() / t.abs().max()) for o, t in zip(ours, theirs, strict=True)
    )
    return image, text


def _save_tokenizer(kind: str, folder: Path) -> None:
    """A tokenizer with the special tokens of a kind, and the words of this file's texts."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    start, end, pad = {
        "t5": (None, ("</s>", 1), ("</s>", 1)),
        "gemma": (None, ("<eos>", 1), ("<pad>", 0)),
        "xlm": (("<s>", 0), ("</s>", 2), ("<pad>", 1)),
        "bert": (("[CLS]", 2), ("[SEP]", 3), ("[PAD]", 0)),
    }[kind]
    special = [pair for pair in (start, end, pad) if pair]
    words = sorted({w for text in _sentences() for w in text.lower().replace(".", " .").split()})
    vocabulary: dict[str, int] = dict(special)
    vocabulary |= {"[UNK]": 5} | {word: 6 + i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    shape = " ".join(filter(None, (start and start[0], "$A", end[0])))
    tokenizer.post_processor = processors.TemplateProcessing(shape, special_tokens=special)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token=pad[0],
        eos_token=end[0],
        sep_token=end[0],
        padding_side="right",
    ).save_pretrained(folder)


def _sentences() -> Sequence[str]:
    from promptbench.data.cards import cards

    card = cards.load("counts")
    spoken = [card.template.format(name.replace("_", " ")) for name in card.classes]
    return [*spoken, *TEXTS, "a photo of a X ."]


def _save_text_config(folder: Path) -> Path:
    facts: dict[str, Any] = {
        "model_type": "bert", "vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 2, "intermediate_size": 128, "max_position_embeddings": 64,
    }  # fmt: skip
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(facts))
    return folder


def _lacks(names: str) -> str:
    """What is missing, by the letters of docs/backbones.md."""
    return "– " + ", ".join(LETTERS[name] for name in names.split(", "))


def table(found: Sequence[Found]) -> str:
    """The table of docs/backbones.md: methods by families."""
    heads = [each.family for each in found]
    lines = [
        f"| | {' | '.join(heads)} |",
        "|---|" + "---|" * len(heads),
        "| image features, off by | " + " | ".join(f"{f.image_error:.0e}" for f in found) + " |",
        "| text features, off by | " + " | ".join(f"{f.text_error:.0e}" for f in found) + " |",
    ]
    for method in METHODS.names():
        said = [f.cells[method] for f in found]
        shown = [_lacks(cell) if isinstance(cell, str) else "yes" for cell in said]
        lines.append(f"| {method} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    options = parser.parse_args()
    found = []
    for family in options.families.split(","):
        with tempfile.TemporaryDirectory() as folder:
            found.append(examined(family, Path(folder)))
        worst = max(found[-1].image_error, found[-1].text_error)
        if worst > TOLERANCE:
            sys.exit(f"{family}: features are off by {worst:.1e}")
    text = table(found)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
