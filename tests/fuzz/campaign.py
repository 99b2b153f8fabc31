"""Every parser of what users and strangers write, and nearly right inputs for it.

An input either is read, or ends in a UserError: a sentence. Anything else is a finding.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from safetensors.torch import save

from promptbench import config, records
from promptbench.config import ConfigSources
from promptbench.core.registry import METHODS, PROTOCOLS
from promptbench.data.cards import cards
from promptbench.data.images import pictures
from promptbench.data.layouts import aircraft, coop, csv_rows
from promptbench.data.shards import shards
from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.models.backbones import checkpoints, state_dicts
from promptbench.planning import grids
from promptbench.planning.request import Request
from promptbench.planning.settings import known_names, settings_of
from promptbench.records import verify
from promptbench.running.training import snapshot
from promptbench.storage import integrity
from promptbench.tracking import Listener
from tests.data import toy
from tests.fuzz.strategies import mutated_bytes, mutated_json, mutated_text, numbers, words
from tests.made_records import record

Parse = Callable[[Any, Path], object]


@dataclass(frozen=True)
class Target:
    """Inputs, and what reads them; it may write into the folder that it is given."""

    inputs: SearchStrategy[Any]
    parse: Parse


def run(examples: int) -> dict[str, int]:
    """Try inputs for every parser; how many each was given. A finding ends it."""
    return {name: attempt(target, examples) for name, target in targets().items()}


def attempt(target: Target, examples: int) -> int:
    """Try inputs for one parser."""
    tried = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(target.inputs)
        def each(value: Any) -> None:
            nonlocal tried
            tried += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    target.parse(value, Path(name))
                except UserError as error:
                    assert len(str(error)) > 10, "an error that says nothing"

        each()
    return tried


def targets() -> dict[str, Target]:
    """All parsers, by the name of what they read."""
    return {
        "data cards": Target(mutated_text(_card_text()), _read(cards.read, "toy.toml")),
        "gin files": Target(_gin(), _gin_file),
        "--set": Target(_bindings(), _set),
        "grid files": Target(mutated_text(_GRID), _read(lambda p: grids.load(str(p)), "g.gin")),
        "names of methods, protocols, datasets": Target(_names(), _request),
        "records": Target(
            mutated_json(json.loads(record().model_dump_json())), _read(records.read, "record.json")
        ),
        "predictions": Target(_predictions(LABELS_ONLY), _recompute),
        "probabilities": Target(_predictions(WITH_PROBABILITIES), _recompute_probabilities),
        "shard indices": Target(mutated_json(_index()), _read(shards.read_index, "index.json")),
        "shard manifests": Target(
            mutated_text(_MANIFEST).map(gzip.compress), lambda d, _: shards.parse_manifest(d, "m")
        ),
        "split files": Target(mutated_json(_SPLIT), _text(coop.parse)),
        "CSV tables": Target(mutated_text(_TABLE), _text(csv_rows.parse)),
        "aircraft lists": Target(
            mutated_text("1 A-1\n2 B-2\n"),
            _text(lambda text, where: aircraft.parse(text, {"A-1": 0, "B-2": 1}, where)),
        ),
        "class names": Target(st.lists(words, max_size=6), _class_names),
        "checkpoints": Target(mutated_bytes(integrity.sealed(b"state")), _snapshot),
        "hashes of finished folders": Target(mutated_text(f"{'0' * 64}  record.json\n"), _sums),
        "weights": Target(st.sampled_from(_weights()).flatmap(mutated_bytes), _load_weights),
        "images": Target(mutated_bytes(toy.png(3)), _image),
    }


def _read(parse: Callable[[Path], object], name: str) -> Parse:
    def through_a_file(data: bytes, folder: Path) -> object:
        (folder / name).write_bytes(data)
        return parse(folder / name)

    return through_a_file


def _text(parse: Callable[[str, str], object]) -> Parse:
    return lambda data, _: parse(data.decode("utf-8", "replace"), "list")


def _card_text() -> str:
    import tomli_w

    return tomli_w.dumps(toy.card().model_dump(exclude_defaults=True))


_GRID = (
    "Grid.methods = ('coop',)\nGrid.protocols = ('few_shot',)\nGrid.variants = ((), ('A.b = 1',))\n"
)
_MANIFEST = "a,0,test-000000.tar,512,90\nb,1,test-000000.tar,1536,90\n"
_SPLIT = {"train": [["a/b.jpg", 0, "ant"], ["c.jpg", 1, "bee"]], "test": [["d.jpg", 0, "ant"]]}
_TABLE = 'path,label,split,classname\na.jpg,0,train,ant\n"b,c.jpg",1,test,bee\n'


# --- gin --------------------------------------------------------------------------------------


def _lines() -> SearchStrategy[str]:
    known = st.sampled_from(
        ["CoOp", "Recipe", "base_to_new/Recipe", "base_to_new/dtd/CoOp", "x/CoOp"]
    )
    left = st.tuples(st.one_of(known, words), st.one_of(st.sampled_from(["lr", "n_ctx"]), words))
    value = st.one_of(
        st.one_of(numbers, words, st.lists(numbers, max_size=3)).map(repr),
        words,
        st.sampled_from(["@CoOp", "%x", "@f()", "(", "'", '"""', "{1: 2}", "include 'x.gin'"]),
    )
    binding = st.tuples(left, value).map(lambda parts: f"{parts[0][0]}.{parts[0][1]} = {parts[1]}")
    other = st.sampled_from(["include 'a.gin'", "import os", "# x", "x = 1", "CoOp:\n  n_ctx = 2"])
    return st.one_of(binding, other, words)


def _gin() -> SearchStrategy[bytes]:
    text = st.lists(_lines(), max_size=4).map("\n".join)
    encoded = text.map(lambda t: t.encode("utf-8", "surrogatepass"))
    return st.one_of(encoded, mutated_text("CoOp.n_ctx = 4\nRecipe.lr = 0.002\n"))


def _bindings() -> SearchStrategy[str]:
    return _lines()


def _gin_file(data: bytes, folder: Path) -> object:
    path = folder / "mine.gin"
    path.write_bytes(data)
    return _settings(ConfigSources((path,)))


def _set(binding: str, _: Path) -> object:
    Request(["coop"], "base_to_new", set=[binding])
    return _settings(ConfigSources((), (binding,)))


def _settings(sources: ConfigSources) -> object:
    coop_, protocol = METHODS.load("coop"), PROTOCOLS.load("base_to_new")
    shipped = ConfigSources((*_shipped(coop_.gin_file), *sources.files), sources.overrides)
    bindings = config.load(shipped, known_names([coop_, protocol]))
    return settings_of(coop_, bindings, "base_to_new/dtd", 16)


def _shipped(path: Path | None) -> tuple[Path, ...]:
    return (path,) if path else ()


def _names() -> SearchStrategy[tuple[str, str, str]]:
    return st.tuples(
        st.one_of(st.just("coop"), words), st.one_of(st.just("few_shot"), words), words
    )


def _request(given_: tuple[str, str, str], folder: Path) -> object:
    from promptbench.planning import plan

    method, protocol, dataset = given_
    return plan.build(Request([method], protocol, datasets=[dataset]), "fp32", folder)


# --- predictions and shards -------------------------------------------------------------------


LABELS_ONLY = "key,label,predicted\na,0,0\nb,1,0\n"
WITH_PROBABILITIES = """\
key,label,predicted,confidence,rest,log_loss,rank,mass,own
a,0,0,0.7000,0.0900,,0,0.70000,1
b,1,0,0.6000,0.1600,0.9163,1,0.60000,1
"""


def _predictions(valid: str) -> SearchStrategy[bytes]:
    return st.one_of(
        mutated_text(valid).map(gzip.compress), mutated_bytes(gzip.compress(valid.encode()))
    )


def _recompute_probabilities(data: bytes, folder: Path) -> object:
    return _recompute(data, folder, learned=[0], confusions={"1:0": 1})


def _recompute(data: bytes, folder: Path, **more: object) -> object:
    name = "predictions/p.csv.gz"
    made = record()
    (folder / "predictions").mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    target = made.targets[0].model_copy(
        update={
            "predictions": name,
            "predictions_sha256": hashlib.sha256(data).hexdigest(),
            "correct": [1, 0],
            "total": [1, 1],
            **more,
        }
    )
    return verify.recompute(made.model_copy(update={"targets": [target]}), folder)


def _index() -> Any:
    split = {"per_class": [6] * 5, "shards": {"test-000000.tar": "0" * 64}, "manifest": "1" * 64}
    return {
        "format": shards.FORMAT,
        "name": "toy",
        "card_version": 1,
        "card_digest": "2" * 64,
        "classes": ["ant", "bee", "cat", "dog", "emu"],
        "splits": {"test": split},
    }


# --- names, files of ours, weights, images ----------------------------------------------------


def _class_names(names: list[str], _: Path) -> object:
    """A card takes them as they are or refuses them; every name of a card can be tokenised."""
    spoken = [name.replace("_", " ") for name in names]
    try:
        card = toy.card(
            classes=names,
            repeated_names=sorted({s for s in spoken if spoken.count(s) > 1}),
        )
    except ValueError as error:  # pydantic's, which `cards.read` turns into a UserError
        raise UserError(f"refused: {error}") from error
    assert card.classes == names
    tower = _text_tower()
    prompts = [card.template.format(name) for name in spoken]
    ids = tower.token_ids(prompts)
    for row, prompt in zip(ids, prompts, strict=True):  # nothing was cut off
        assert int((row != 0).sum()) >= len(tower.encode(prompt)) + 1
    return ids


@functools.cache
def _text_tower() -> Any:
    from promptbench.models import backbones
    from promptbench.models.towers.text import TextTower

    return TextTower(demo_model.build(12), backbones.load_tokenizer(demo_model.NAME))


def _snapshot(data: bytes, folder: Path) -> object:
    path = folder / "checkpoint.pt"
    path.write_bytes(data)
    if data == integrity.sealed(b"state"):
        return None
    assert snapshot.read(path, Listener()) is None and not path.exists()
    return None


def _sums(data: bytes, folder: Path) -> object:
    (folder / integrity.SUMS).write_bytes(data)
    (folder / records.RECORD).write_bytes(b"{}")
    return records.damage(folder)


def _weights() -> list[bytes]:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3)}
    plain, scripted = io.BytesIO(), io.BytesIO()
    torch.save(state, plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 2))), scripted)
    return [plain.getvalue(), scripted.getvalue(), save(state)]


def _load_weights(data: bytes, folder: Path) -> object:
    path = folder / ("w.safetensors" if data[8:9] == b"{" else "w.pt")
    path.write_bytes(data)
    return checkpoints.find(demo_model.NAME, str(path)), state_dicts.read(path)


def _image(data: bytes, _: Path) -> object:
    try:
        pictures.look(data)
    except pictures.BROKEN as error:
        raise UserError(f"broken image: {error}") from error
    return None
