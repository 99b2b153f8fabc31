"""Class texts from a run's option to its record, tables, checks and reproduction."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import promptbench
from promptbench import records, reproduction
from promptbench.core.registry import FORMATS
from promptbench.data.cards import cards
from promptbench.errors import UserError
from promptbench.leaderboard.checking import run_checks
from promptbench.leaderboard.checking.checks import contradictions
from promptbench.planning.machine import Machine
from promptbench.records import Record
from promptbench.report import assemble, tracks
from promptbench.report.format import render
from promptbench.reproduction import Whereabouts
from promptbench.tracking import facts

SETTINGS = ["Recipe.epochs=1", "HiCroPL.n_ctx=2", "HiCroPL.depth=3", "HiCroPL.cross_layer=2"]


def run(out: Path, method: str, *settings: str, **options: Any) -> Path:
    promptbench.run(
        method,
        "few_shot",
        **{"datasets": "counts", "shots": 1, "seeds": 1, "limit": 20, "baseline": False},
        **{"set": [*settings], "out": out, "quiet": True},
        **options,
    )
    (path,) = records.find([out])
    return path


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "mine.json"
    own = {
        name: [f"{name} on grass.", f"a photo of {name}"] for name in cards.class_names("counts")
    }
    path.write_text(json.dumps(own))
    return path


@pytest.fixture(scope="module")
def found(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Records of a training with texts, and of zero-shot rows with and without."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "hicropl": run(folder / "a", "hicropl", *SETTINGS, class_texts=texts),
        "CuPL": run(folder / "b", "zeroshot", "ZeroShot.class_texts=True", class_texts=texts),
        "zeroshot": run(folder / "c", "zeroshot", class_texts=texts),
    }


def read(found: dict[str, Path]) -> dict[str, Record]:
    return {name: records.read(path) for name, path in found.items()}


def test_a_record_names_the_file_and_its_hash(found: dict[str, Path], texts: Path) -> None:
    held = read(found)
    sha256 = hashlib.sha256(texts.read_bytes()).hexdigest()
    for name in ("hicropl", "CuPL"):
        info, method = held[name].data["counts"], held[name].method
        assert (info.class_texts, info.class_texts_sha256) == ("mine.json", sha256)
        assert method.extra_data == "class texts"
        assert tracks.of_record(held[name]) == "LLM text"
    info, method = held["zeroshot"].data["counts"], held["zeroshot"].method
    assert (info.class_texts, info.class_texts_sha256) == (None, None)
    assert (method.extra_data, method.parameters) == ("none", {})
    assert tracks.of_record(held["zeroshot"]) == "inductive"
    said = {name: record.targets[0].predictions_sha256 for name, record in held.items()}
    assert said["CuPL"] != said["zeroshot"]


def test_a_record_that_claims_otherwise_is_refused(found: dict[str, Path]) -> None:
    held = read(found)
    assert [list(contradictions(record)) for record in held.values()] == [[], [], []]
    info = held["hicropl"].data["counts"]
    none = info.model_copy(update={"class_texts": None, "class_texts_sha256": None})
    for name, data, said in (
        ("hicropl", none, "the method uses class texts, and the record names no file of counts"),
        ("zeroshot", info, "the method uses no class texts, and the record names a file of counts"),
    ):
        forged = held[name].model_copy(update={"data": {"counts": data}})
        assert said in list(contradictions(forged))
    method = held["CuPL"].method.model_copy(update={"extra_data": "none"})
    forged = held["CuPL"].model_copy(update={"method": method})
    assert "the method's extra_data is not 'class texts'" in list(run_checks.method(forged))
    other = info.model_copy(update={"class_texts_sha256": "0" * 64})
    forged = held["hicropl"].model_copy(update={"data": {"counts": other}})
    assert "the training id is not that" in " ".join(contradictions(forged))
    with pytest.raises(ValueError, match="belong together"):
        type(info).model_validate(info.model_dump() | {"class_texts": None})


def test_every_format_has_the_badge_and_the_track(found: dict[str, Path]) -> None:
    tables = assemble.of_records(list(read(found).values()))
    (table,) = tables
    called = [row.title for row in table.rows]
    assert called == [
        "CLIP (zero-shot)",
        "CLIP (zero-shot) (+ class texts)",
        "HiCroPL (+ class texts; cross_layer = 2; depth = 3; n_ctx = 2; epochs = 1)",
    ]
    assert [name for name, _ in table.sections()] == [
        "zero-shot",
        "zero-shot, LLM text",
        "end-to-end, LLM text",
    ]
    for name in FORMATS.names():
        text = " ".join(render(name, tables).split())
        assert "+ class texts" in text and "LLM text" in text, name


def test_rows_with_other_texts_are_rows_of_their_own(found: dict[str, Path]) -> None:
    first = read(found)["CuPL"]
    info = first.data["counts"].model_copy(update={"class_texts_sha256": "0" * 64})
    second = first.model_copy(update={"seed": 2, "data": {"counts": info}})
    (table,) = assemble.of_records([first, second])
    assert len({row.title for row in table.rows}) == 2
    assert "counts: class texts 000000" in table.rows[0].title + table.rows[1].title
    one, other = map(facts.of_record, (first, second))
    assert one.group != other.group
    assert one.config["class_texts"] == {"counts": first.data["counts"].class_texts_sha256}


def test_reproducing_takes_the_same_texts_and_names_others(
    found: dict[str, Path], texts: Path
) -> None:
    machine = Machine(quiet=True)
    here = Whereabouts(class_texts=(str(texts),))
    same = reproduction.reproduce(found["hicropl"], machine, here)
    assert same.outcome == "identical" and "class texts" in same.same
    other = reproduction.reproduce(found["CuPL"], machine)  # those of the card
    sha256 = hashlib.sha256(texts.read_bytes()).hexdigest()[:12]
    assert any(f"class texts of counts {sha256}, now " in text for text in other.circumstances)
    with pytest.raises(UserError, match=r"--class-texts nowhere\.json"):
        reproduction.reproduce(found["CuPL"], machine, Whereabouts(class_texts=("nowhere.json",)))
