"""Croissant JSON-LD of cards: what the vocabulary demands, and what the card says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from promptbench.catalogue.croissant import croissant
from promptbench.cli import main
from promptbench.data.cards import cards
from tests.data import toy


def test_a_card_says_what_it_knows() -> None:
    found = croissant(cards.load("caltech101"))
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert found["version"] == "1.0.0" and found["datePublished"] == "2004"
    assert found["citeAs"].startswith("@misc{FeiFei2004LearningGV,")
    assert found["license"].startswith("CC BY 4.0") and found["url"].startswith("https://vision.")
    [archive, split] = found["distribution"]
    assert archive == {
        "@type": "cr:FileObject",
        "@id": "caltech-101.zip",
        "name": "caltech-101.zip",
        "contentUrl": "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
        "contentSize": "137414764 B",
        "encodingFormat": "application/zip",
        "sha256": "331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91",
    }
    assert split["encodingFormat"] == "application/json" and "contentSize" not in split
    classes, splits = found["recordSet"]
    assert classes["data"][1] == {"classes/label": 1, "classes/name": "leopard"}
    assert splits["data"][0] == {"splits/name": "train", "splits/images": 4128}


@pytest.mark.parametrize("name", cards.names())
def test_every_card_is_as_the_vocabulary_demands(name: str) -> None:
    found = json.loads(json.dumps(croissant(cards.load(name))))
    assert {"@context", "@type", "name", "description", "conformsTo", "recordSet"} <= set(found)
    for file in found.get("distribution", []):
        assert {"sha256", "md5"} & set(file) and file["contentUrl"].startswith("http")
    for records in found["recordSet"]:
        fields = {entry["@id"] for entry in records["field"]}
        assert records["key"]["@id"] in fields and all(
            set(row) == fields for row in records["data"]
        )
    assert "unknown" not in json.dumps(found.get("distribution", []))


def test_files_without_a_checksum_are_named_not_listed() -> None:
    found = croissant(cards.load("fgvc_aircraft"))
    assert "distribution" not in found
    assert (
        "Files without a known checksum, not listed: fgvc-aircraft-2013b.tar.gz (https"
        in (found["description"])
    )


def test_what_an_own_card_does_not_say_is_left_out() -> None:
    found = croissant(toy.card(licence="unknown", citation="unknown"))
    assert not {"license", "citeAs", "url", "datePublished", "distribution"} & set(found)
    assert found["description"].startswith("Toy 5 classes")


def test_the_command_prints_json_and_nothing_else() -> None:
    done = CliRunner().invoke(main, ["data", "info", "dtd", "--croissant"])
    assert done.exit_code == 0 and done.stdout.isascii()
    assert json.loads(done.stdout) == croissant(cards.load("dtd"))
    assert CliRunner().invoke(main, ["data", "info", "dtdd", "--croissant"]).exit_code == 2


def test_the_validator_of_the_vocabulary_takes_every_card(tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    for name in cards.names():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(croissant(cards.load(name))))
        dataset = mlcroissant.Dataset(jsonld=str(path))
        assert len(list(dataset.records("classes"))) == len(cards.load(name).classes)
