"""Settings, banner and standing follow from the backbone and the data, whatever the suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from promptbench.config import suites
from promptbench.core.registry import METHODS
from promptbench.data.cards import cards
from promptbench.models.backbones import checkpoints, config_file, loading
from promptbench.planning import plan
from promptbench.planning.cells import Cell
from promptbench.planning.machine import Machine
from promptbench.planning.plan import Plan
from promptbench.planning.request import Request
from promptbench.planning.standing import as_used, of_records
from promptbench.running.lab import arithmetic, shared
from promptbench.running.lab.compute import Compute
from promptbench.support.compat import import_open_clip
from promptbench.tracking import Listener
from tests.made_records import record

REAL, TINY = "ViT-B-32-quickgelu", "promptbench-tiny"
OURS = suites.load("clip").sha256
DEMO = "demo suite: generated images and a tiny CLIP; not comparable with published numbers"


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A file of weights that a plan only hashes."""
    save_file({"weight": torch.zeros(1)}, tmp_path / "random.safetensors")
    return str(tmp_path / "random.safetensors")


@pytest.fixture
def photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets that are taken for photographs."""
    monkeypatch.setattr(cards, "generated", frozenset)


def planned(tmp_path: Path, *methods: str, **options: Any) -> Plan:
    asked: dict[str, Any] = {"datasets": ["counts"], **options}
    request = Request(methods or ["coop"], "base_to_new", **asked)
    return plan.build(request, "fp32", tmp_path / "runs")


def cell_of(made: Plan, method: str) -> Cell:
    return next(cell for cell in made.cells if cell.method.name == method)


def test_generated_data_sets_are_those_of_the_demo() -> None:
    packaged = [path.stem for path in cards.packaged().glob("**/*.toml")]
    drawn = {name for name in packaged if cards.load(name).source.kind == "generated"}
    assert cards.generated() == drawn == {n for n in packaged if cards.load(n).suite == "demo"}


@pytest.mark.parametrize(
    ("backbone", "real_data", "expected"),
    [
        (None, False, "demo"),
        (None, True, "clip"),
        (TINY, False, "demo"),
        (TINY, True, "clip"),
        (REAL, False, "clip"),
        ("ViT-B-16-quickgelu", False, "clip"),
        (REAL, True, "clip"),
    ],
)
def test_the_suite_of_a_run_that_names_none(
    backbone: str | None, real_data: bool, expected: str
) -> None:
    assert suites.usual(backbone, real_data) == expected


# --- settings -----------------------------------------------------------------------------------

TINY_COOP = {"n_ctx": 16, "ctx_init": ""}
REAL_COOP = {"n_ctx": 4, "ctx_init": "a photo of a"}
DRAWN, PHOTOS = ((0.9, 1.0), 0.0), ((0.08, 1.0), 0.5)


def coop_of(made: Plan) -> tuple[dict[str, Any], float, tuple[Any, float]]:
    cell = cell_of(made, "coop")
    context = {name: cell.parameters[name] for name in REAL_COOP}
    recipe = cell.recipe
    return context, recipe["lr"], (recipe["crop_scale"], recipe["flip"])


@pytest.mark.parametrize("suite", [None, "clip", "demo"])
def test_a_real_backbone_has_the_methods_own_settings(
    suite: str | None, weights: str, tmp_path: Path, photographs: None
) -> None:
    asked = {"backbone": REAL, "weights": weights, "suite": suite}
    made = planned(tmp_path, "coop", "alignednorm", **asked)
    assert coop_of(made) == (REAL_COOP, 0.002, PHOTOS)
    norm = cell_of(made, "alignednorm")
    assert norm.parameters["token_dim"] == 512 and norm.parameters["n_tokens"] == 5
    assert norm.recipe["lr"] == 1e-3 and norm.recipe["crop_scale"] == (0.5, 1.0)
    assert made.suite.seeds == ([1] if suite == "demo" else [1, 2, 3])
    assert not norm.overrides


@pytest.mark.parametrize("suite", [None, "clip", "demo"])
def test_the_demos_images_are_cropped_as_they_bear(
    suite: str | None, weights: str, tmp_path: Path
) -> None:
    made = planned(tmp_path, backbone=REAL, weights=weights, suite=suite)
    assert coop_of(made) == (REAL_COOP, 0.002, DRAWN)


@pytest.mark.parametrize("suite", [None, "clip", "demo"])
def test_the_demos_backbone_keeps_its_settings(
    suite: str | None, tmp_path: Path, photographs: None
) -> None:
    made = planned(tmp_path, backbone=TINY, suite=suite)
    assert coop_of(made) == (TINY_COOP, 3e-3, PHOTOS)


def test_the_demo_is_what_it_was(tmp_path: Path) -> None:
    made = planned(tmp_path)
    assert coop_of(made) == (TINY_COOP, 3e-3, DRAWN)
    assert cell_of(made, "coop").id.startswith("c4a45a7cc6")  # of records that people have
    named = planned(tmp_path, backbone=TINY)
    assert [cell.id for cell in named.cells] == [cell.id for cell in made.cells]


def test_the_author_of_another_method_says_how_images_are_cropped(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from promptbench.methods.coop import CoOp\n\n\nclass Mine(CoOp):\n    title = 'Mine'\n"
    )
    (tmp_path / "mine.gin").write_text("Recipe.crop_scale = (0.3, 1.0)\n")
    METHODS.add_file(tmp_path / "mine.py")
    made = planned(tmp_path, "mine")
    assert cell_of(made, "mine").recipe["crop_scale"] == (0.3, 1.0)


def test_a_backbone_of_a_suite_brings_its_weights(tmp_path: Path) -> None:
    request = Request(["coop"], "base_to_new", suite="demo", backbone="ViT-B-16-quickgelu")
    assert request.resolved_suite().weights == "openai"
    clip = Request(["coop"], "base_to_new", suite="clip", backbone=TINY).resolved_suite()
    assert clip.weights == "demo"


@pytest.mark.parametrize(("backbone", "threads"), [(TINY, 1), (REAL, None)])
@pytest.mark.parametrize("suite", ["clip", "demo"])
def test_threads_are_the_backbones(
    backbone: str,
    threads: int | None,
    suite: str,
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = weights if backbone == REAL else None
    asked = {"suite": suite, "backbone": backbone, "weights": named, "datasets": ["counts"]}
    request = Request(["coop"], "base_to_new", **asked)  # type: ignore[arg-type]
    settled: list[Any] = []
    monkeypatch.setattr(arithmetic, "settle", lambda _, threads: settled.append(threads))
    monkeypatch.setattr(loading, "load", lambda *_: None)
    monkeypatch.setattr(shared, "_prepare_towers", lambda *_: None)
    monkeypatch.setattr(shared, "provide_data", lambda *_: {})
    monkeypatch.setattr(shared.Lab, "__init__", lambda *_, **__: None)
    made = plan.build(request, "fp32")
    with pytest.raises(AttributeError):  # the backbone that was not loaded has no towers
        shared.open_lab([made], Machine(), Compute(torch.device("cpu"), "fp32"), Listener())
    assert settled == [threads]


# --- standing and banner ------------------------------------------------------------------------

NOT = "; not comparable with published numbers"
STANDING = [
    # suite, backbone, weights, hash, datasets, the banner ("" where numbers are comparable)
    ("clip", "ViT-B-16-quickgelu", "openai", "0", ["dtd"], ""),
    ("clip", "ViT-B-16-quickgelu", "ViT-B-16.pt", OURS, ["dtd", "birds"], ""),
    ("clip", "ViT-B-16-quickgelu", "w.pt", "0", ["dtd"], f"ViT-B-16-quickgelu (w.pt){NOT}"),
    ("clip", "ViT-B-16-quickgelu", "./openai", "0", ["dtd"], f"ViT-B-16-quickgelu (./openai){NOT}"),
    ("clip", REAL, "openai", "0", ["birds"], f"{REAL} (openai){NOT}"),
    ("clip", REAL, "w.pt", OURS, ["birds"], f"{REAL} (w.pt){NOT}"),
    ("clip", REAL, "w.pt", "0", ["counts"], f"generated images under {REAL} (w.pt){NOT}"),
    (
        *("clip", "ViT-B-16-quickgelu", "openai", "0", ["birds", "counts"]),
        f"generated images (counts) among others under ViT-B-16-quickgelu (openai){NOT}",
    ),
    (
        *("clip", TINY, "demo", "0", ["birds"]),
        f"a tiny CLIP that knows generated images only ({TINY}, demo){NOT}",
    ),
    ("demo", REAL, "w.pt", "0", ["shapes"], f"generated images under {REAL} (w.pt){NOT}"),
    ("demo", REAL, "w.pt", "0", ["birds"], f"{REAL} (w.pt){NOT}"),
    ("demo", TINY, "demo", "0", ["shapes", "counts"], DEMO),
    (
        *("demo", TINY, "mine.pt", "0", ["shapes"]),
        f"generated images under a tiny CLIP that knows generated images only ({TINY}, mine.pt)"
        + NOT,
    ),
]


@pytest.mark.parametrize(("suite", "backbone", "name", "sha256", "datasets", "said"), STANDING)
def test_any_combination_says_what_it_is(
    suite: str, backbone: str, name: str, sha256: str, datasets: list[str], said: str
) -> None:
    used = as_used(suites.load(suite), backbone, name, sha256, datasets)
    assert (used.banner, used.comparable) == (said, not said)
    assert used.name == suite


def test_the_suites_own_weights_are_known_by_the_hash_of_their_archive() -> None:
    suite = suites.load("clip")
    entry = import_open_clip().pretrained.get_pretrained_cfg(suite.backbone, suite.weights)
    assert f"/{suite.sha256}/" in entry["url"]


def test_a_plan_announces_what_it_is(weights: str, tmp_path: Path, photographs: None) -> None:
    made = planned(tmp_path, backbone=REAL, weights=weights)
    assert made.suite.banner == f"{REAL} (random.safetensors){NOT}"
    cell = cell_of(made, "coop")
    assert cell.weights == "random.safetensors" and cell.folder(Path("runs")).parts[1] == "clip"
    assert planned(tmp_path, backbone=TINY, suite="demo").suite.banner != DEMO  # no drawn images


def test_records_say_what_they_are() -> None:
    assert of_records([record()]).comparable
    other = record().backbone.model_copy(update={"weights": "w.pt"})
    found = of_records([record(), record().model_copy(update={"backbone": other})][::-1])
    assert found.banner == f"ViT-B-16-quickgelu (w.pt){NOT}" and not found.comparable


# --- preprocessing in the ids -------------------------------------------------------------------


def test_another_preprocessing_is_another_training_and_cell(weights: str, tmp_path: Path) -> None:
    def ids() -> tuple[str, str]:
        cell = cell_of(planned(tmp_path, backbone=REAL, weights=weights, seeds=[1]), "coop")
        return cell.training_id, cell.id

    usual, beside = ids(), Path(weights).with_name(config_file.NAME)
    beside.write_text('{"preprocess_cfg": {"interpolation": "bicubic", "resize_mode": "shortest"}}')
    assert ids() == usual
    beside.write_text('{"preprocess_cfg": {"resize_mode": "squash"}}')
    squashed = ids()
    assert not set(squashed) & set(usual)
    beside.write_text('{"preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}')
    assert not set(ids()) & {*usual, *squashed}
    assert checkpoints.find(REAL, weights).sha256  # the file itself is the same throughout
