"""Method cards are complete and true: what they state is counted here."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from click.testing import CliRunner

from promptbench.catalogue.method_card import EQUALS, card_of, published_means
from promptbench.cli import main
from promptbench.core.method import ClassSet
from promptbench.core.registry import METHODS
from promptbench.models.backbones import load_tokenizer
from promptbench.models.towers import Towers
from promptbench.planning.settings import default_settings
from promptbench.support.compat import import_open_clip
from tests.golden_set import FOLDER

SHOTS = 16
IMAGENET = ClassSet(tuple(f"class {i}" for i in range(1000)), "a photo of a {}.")


@functools.cache
def vit_b16() -> Towers:
    """The shape of ViT-B/16, without memory behind it."""
    with torch.device("meta"):
        model = import_open_clip().create_model("ViT-B-16-quickgelu", device="meta")
    return Towers(model, load_tokenizer("ViT-B-16-quickgelu"))


def learned(parameter: torch.Tensor) -> int:
    """The numbers of a parameter; one without rows gets one per training image (see `Method`)."""
    if parameter.numel() or not parameter.dim():
        return parameter.numel()
    assert parameter.shape[0] == 0
    return SHOTS * len(IMAGENET) * parameter.shape[1:].numel()


@pytest.mark.parametrize("name", METHODS.names())
def test_stated_parameters_are_those_of_vit_b16(name: str) -> None:
    plugin = METHODS.load(name)
    with torch.device("meta"):
        method = plugin.cls(vit_b16(), IMAGENET, **default_settings(plugin)[plugin.cls.__name__])
    count = sum(learned(p) for p in method.parameters() if p.requires_grad)
    assert count == plugin.cls.vit_b16_parameters


@pytest.mark.parametrize("name", METHODS.names())
def test_docstring_says_paper_paradigm_data_and_size(name: str) -> None:
    plugin = METHODS.load(name)
    text = " ".join((sys.modules[plugin.cls.__module__].__doc__ or "").split())
    cls = plugin.cls
    assert cls.paper in text
    assert f"Paradigm: {cls.paradigm}." in text
    assert f"Data beyond the few shots: {cls.extra_data}" in text
    assert (
        f"{cls.vit_b16_parameters:,} parameters" in text or f"({cls.vit_b16_parameters:,}" in text
    )
    assert plugin.gin_file is not None


RECORDED_WITH = {"tipadapterf": "tipadapter"}  # in one file with the training-free method


@pytest.mark.parametrize("name", METHODS.names())
def test_a_card_says_what_its_numbers_were_compared_with(name: str) -> None:
    """That they equal the authors' code is said where recorded vectors say so, and only there."""
    plugin = METHODS.load(name)
    recorded = (FOLDER / f"{RECORDED_WITH.get(name, name)}.safetensors").is_file()
    assert (plugin.cls.equals == "reference code") == recorded
    facts = card_of(plugin).facts
    assert facts["equations from"] not in ("", "not stated")
    assert ("@" in facts["equations from"]) == recorded  # the repository and revision that ran
    assert facts["numbers equal"] == EQUALS[plugin.cls.equals]


def test_card_is_plain_data() -> None:
    card = card_of(METHODS.load("mmrlpp"))
    assert card.facts["inference"] == "unified; decoupled as a marked variant"
    assert card.facts["parameters on ViT-B/16"] == "813,312"
    assert card.defaults["MMRLpp.beta"] == "0.9"
    assert "base_to_new/eurosat/MMRLpp.beta = 0.2" in card.settings


def test_published_means_keep_sources_and_inferences_apart() -> None:
    line = {"method": "m", "dataset": "Average", "shots": "16", "value": "80.5", "split": "base"}
    line |= {"backbone": "ViT-B/16", "note": ""}
    lines = [
        {**line, "inference": "decoupled", "source": "a"},
        {**line, "inference": "decoupled", "source": "a", "split": "new", "value": "70"},
        {**line, "inference": "unified", "source": "a"},
        {**line, "inference": "unified", "source": "a", "dataset": "dtd"},
        {**line, "inference": "unified", "source": "a", "method": "other"},
        {**line, "inference": "unified", "source": "a", "backbone": "ViT-B/32"},
        {**line, "inference": "unified", "source": "a", "note": "x; printed wrongly"},
    ]
    means = published_means("m", lines)
    assert [(m.inference, dict(m.values)) for m in means] == [
        ("decoupled", {"base": 80.5, "new": 70.0}),
        *[("unified", {"base": 80.5})] * 3,
    ]
    assert [(m.backbone, m.note, dict(m.slips)) for m in means[1:]] == [
        ("ViT-B/16", "", {}),
        ("ViT-B/32", "", {}),
        ("ViT-B/16", "x", {"base": "printed wrongly"}),
    ]


def test_info_knows_methods_that_only_papers_know() -> None:
    shown = CliRunner().invoke(main, ["info", "coop+dept"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    for words in ("arXiv 2309.07439 (2023)", "track: inductive", "parts: CoOp, DePT", "74.85¶"):
        assert words in shown.output


def test_info_finds_a_method_by_what_papers_call_it() -> None:
    shown = CliRunner().invoke(main, ["info", "coop+atprompt"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    for words in (
        "(atprompt_coop, from promptbench)",
        "attribute words of a language",
        "Table (base-to",
    ):
        assert words in shown.output


def test_info_shows_the_card_with_published_numbers() -> None:
    shown = CliRunner().invoke(main, ["info", "mmrlpp"]).output
    for words in (
        "arXiv 2505.10088",
        "decoupled",
        "813,312",
        "85.43",
        "76.48",
        "MMRLpp.beta = 0.9",
    ):
        assert words in shown


def test_a_card_says_class_texts_of_a_method_that_only_sets_the_attribute() -> None:
    plugin = METHODS.load("zeroshot")
    plain = card_of(plugin).facts["data beyond the few shots"]
    told = type("Told", (plugin.cls,), {"class_texts": True, "__module__": plugin.cls.__module__})
    found = card_of(replace(plugin, cls=told)).facts["data beyond the few shots"]
    assert (plain, found) == ("none", "class texts")


def test_paragraphs_of_a_card_are_one_line_each_and_equations_stay() -> None:
    lines = card_of(METHODS.load("hicropl")).text.split("\n")
    said = [bool(line) and line[0] != " " for line in lines]
    assert not any(map(all, pairwise(said)))
    assert any(line.startswith("    x = ") for line in lines)
