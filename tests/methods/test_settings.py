"""The settings of every built-in method, per protocol and source: the tables of their references.

What a table says is resolved through the configuration that a run uses, not read from gin files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from promptbench import config
from promptbench.config import ConfigSources, KnownNames
from promptbench.core.protocol import Leg, Source
from promptbench.core.recipe import Recipe, epochs_for
from promptbench.core.registry import METHODS, PROTOCOLS
from promptbench.core.shots import settled
from promptbench.core.traits import has_solver
from promptbench.planning.settings import known_names, scope_of

Settings = dict[str, Any]  # parameters of the method and, by their own names, of its recipe
SHOTS = (1, 2, 4, 8, 16)

# --- per source: the reference code's files -----------------------------------------------------
# MMRL has λ, MMRL++ β and λ; AlignedNorm β, λ, w_proj and w_token.
FAMILY = {
    #                  MMRL    MMRL++         AlignedNorm
    "imagenet": (0.5, (0.9, 0.2), (0.9, 0.2, 0.005, 0.005)),
    "caltech101": (0.5, (0.6, 3.0), (0.6, 3.0, 0.05, 0.05)),
    "oxford_pets": (0.2, (0.7, 0.01), (0.7, 0.01, 0.1, 0.01)),
    "stanford_cars": (7.0, (0.7, 6.0), (0.6, 6.0, 0.15, 0.15)),
    "oxford_flowers": (4.0, (0.4, 7.0), (0.4, 7.0, 0.15, 0.1)),
    "food101": (5.0, (0.1, 1.0), (0.1, 2.0, 0.15, 0.001)),
    "fgvc_aircraft": (6.0, (0.9, 2.0), (0.9, 2.0, 0.1, 0.01)),
    "sun397": (6.0, (0.5, 3.0), (0.5, 3.0, 0.1, 0.01)),
    "dtd": (6.0, (0.9, 7.0), (0.9, 7.0, 0.2, 0.15)),
    "eurosat": (0.01, (0.2, 0.01), (0.2, 0.01, 0.1, 0.05)),
    "ucf101": (3.0, (0.9, 3.0), (0.9, 3.0, 0.15, 0.15)),
}
# PromptSRC, few-shot: (mean, std) of the average over epochs is (30, 30) on these, else (45, 5).
WIDE_AVERAGE = {"imagenet", "caltech101", "oxford_pets", "food101", "ucf101", "sun397"}

# --- recipes ------------------------------------------------------------------------------------
SHARED: Settings = {
    "weight_decay": 5e-4,
    "momentum": 0.9,
    "warmup_epochs": 1,
    "warmup_lr": 1e-5,
    "flip": 0.5,
    "average": None,
    "eps": 1e-8,
    "schedule": "epoch",
    "final_lr": 0.0,
    "groups": (),
    "stages": (),
    "views": ("crop",),
    "randaugment": (2, 10),
}
SGD = SHARED | {"optimizer": "sgd", "lr": 0.002, "crop_scale": (0.08, 1.0)}
ADAMW = SHARED | {"optimizer": "adamw", "lr": 1e-3, "crop_scale": (0.5, 1.0)}
CONTEXT = {"n_ctx": 4, "ctx_init": "a photo of a", "csc": False, "class_token_position": "end"}
TOKENS = {"alpha": 0.7, "n_tokens": 5, "token_dim": 512, "layers": (6, 7, 8, 9, 10, 11, 12)}
RANKS = {"token_rank": 4, "proj_rank": 64}


def coop(protocol: str, source: str, shots: int) -> Settings:
    epochs = 50 if source == "imagenet" else 200
    if protocol != "few_shot":
        return {**CONTEXT, **SGD, "batch_size": 32, "epochs": epochs}
    if source != "imagenet":
        epochs = {1: 50, 2: 100, 4: 100, 8: 200, 16: 200}[shots]
    noise = {"n_ctx": 16, "ctx_init": ""}
    return {**CONTEXT, **noise, **SGD, "batch_size": 32, "epochs": epochs}


def cocoop(protocol: str, source: str, shots: int) -> Settings:
    own = {"n_ctx": 4, "ctx_init": "a photo of a", "reduction": 16}
    return {**own, **SGD, "batch_size": 1, "epochs": 10}


def kgcoop(protocol: str, source: str, shots: int) -> Settings:
    guide = "a photo of a {}, a type of texture." if source == "dtd" else ""
    own = {"w_guide": 8.0, "guide": guide}
    return {**CONTEXT, **own, **SGD, "batch_size": 128, "epochs": 100}


def vpt(protocol: str, source: str, shots: int) -> Settings:
    own = {"n_ctx": 8, "depth": 12, "prompt": "a photo of a"}
    return {**own, **SGD, "lr": 0.0025, "batch_size": 4, "epochs": 5}


def ivlp(protocol: str, source: str, shots: int) -> Settings:
    own = {"n_ctx_image": 2, "n_ctx_text": 2, "depth_image": 12, "depth_text": 12}
    words = {"ctx_init": "a photo of a"}
    return {**own, **words, **SGD, "lr": 0.0035, "batch_size": 4, "epochs": 5}


def maple(protocol: str, source: str, shots: int) -> Settings:
    depth, lr, epochs = (3, 0.0026, 2) if protocol == "cross_dataset" else (9, 0.0035, 5)
    own = {"n_ctx": 2, "depth": depth, "ctx_init": "a photo of a"}
    return {**own, **SGD, "lr": lr, "batch_size": 4, "epochs": epochs}


def promptsrc(protocol: str, source: str, shots: int) -> Settings:
    depth = 3 if protocol == "cross_dataset" else 9
    epochs, average = {
        "base_to_new": (20, (15.0, 1.0)),
        "cross_dataset": (20, (6.0, 10.0)),
        "few_shot": (50, (30.0, 30.0) if source in WIDE_AVERAGE else (45.0, 5.0)),
    }[protocol]
    return {
        **{"n_ctx_image": 4, "n_ctx_text": 4, "depth_image": depth, "depth_text": depth},
        **{"ctx_init": "a photo of a", "w_text": 25.0, "w_image": 10.0, "w_logits": 1.0},
        **{"templates": (), **SGD, "lr": 0.0025, "batch_size": 4},
        **{"epochs": epochs, "average": average},
    }


def mmrl(protocol: str, source: str, shots: int) -> Settings:
    if protocol == "cross_dataset":
        once = {"batch_size": 32, "epochs": 1, "warmup_epochs": 0}
        return {**TOKENS, "reg_weight": 0.2, **ADAMW, **once}
    own = TOKENS | {"reg_weight": FAMILY[source][0]}
    if source == "eurosat":
        own |= {"token_dim": 2048}
    if source == "imagenet":
        return {**own, **ADAMW, "batch_size": 32, "epochs": 5}
    if protocol == "few_shot":
        return {**own, **ADAMW, "batch_size": 32, "epochs": 50}
    return {**own, **ADAMW, "batch_size": 4, "epochs": 10}


def mmrlpp(protocol: str, source: str, shots: int) -> Settings:
    own: Settings = {**TOKENS, **RANKS}
    own["beta"], own["reg_weight"] = FAMILY[source][1]
    if protocol == "cross_dataset":
        once = {"batch_size": 32, "epochs": 1, "warmup_epochs": 0}
        beta, weight = (0.9, 0.1) if source == "imagenet" else (0.9, 1.0)
        return {**own, "beta": beta, "reg_weight": weight, **ADAMW, **once}
    if source == "imagenet":  # the script takes its file for every number of shots, too
        return {**own, **ADAMW, "batch_size": 32, "epochs": 5}
    if protocol == "few_shot":
        return {**own, **ADAMW, "lr": 2e-3, "batch_size": 32, "epochs": 100}
    return {**own, **ADAMW, "batch_size": 4, "epochs": 10}


def alignednorm(protocol: str, source: str, shots: int) -> Settings:
    names = ("beta", "reg_weight", "w_proj", "w_token")
    own: Settings = {**TOKENS, **RANKS, **dict(zip(names, FAMILY[source][2], strict=True))}
    if protocol == "cross_dataset":
        tuned = (0.9, 0.1, 0.005, 0.005) if source == "imagenet" else (0.9, 1.0, 0.1, 0.1)
        own |= dict(zip(names, tuned, strict=True))
        own["alpha"] = 0.9 if source == "imagenet" else 0.7
        return {**own, **ADAMW, "batch_size": 32, "epochs": 1, "warmup_epochs": 0}
    if protocol == "few_shot":
        if source == "oxford_flowers":
            own |= {"w_proj": 0.1, "w_token": 0.01}
        return {**own, **ADAMW, "lr": 2e-3, "batch_size": 32, "epochs": 100}
    epochs = {"imagenet": 5, "stanford_cars": 13}.get(source, 10)
    return {**own, **ADAMW, "batch_size": 32 if source == "imagenet" else 4, "epochs": epochs}


CLASSES = {
    **{"imagenet": 1000, "caltech101": 100, "oxford_pets": 37, "stanford_cars": 196},
    **{"oxford_flowers": 102, "food101": 101, "fgvc_aircraft": 100, "sun397": 397},
    **{"dtd": 47, "eurosat": 10, "ucf101": 101},
}


def cliplora(protocol: str, source: str, shots: int) -> Settings:
    """500 steps a shot, from base to new 300, of a table for 100 classes where there is none."""
    classes, steps = CLASSES[source], 500
    if protocol == "base_to_new":
        classes, steps = math.ceil(classes / 2), 300
    elif protocol == "cross_dataset" and source != "imagenet":
        classes = 100
    epochs = round(steps * shots / max(1, classes * shots // 32))
    own: Settings = {"rank": 2, "alpha": 1.0, "dropout": 0.25, "maps": ("q", "k", "v")}
    own |= {"blocks": tuple(range(1, 13)), "sides": ("text", "image"), "prompt": "a photo of a"}
    adamw = ADAMW | {"lr": 2e-4, "weight_decay": 1e-2, "warmup_epochs": 0}
    return {**own, **adamw, "crop_scale": (0.08, 1.0), "batch_size": 32, "epochs": epochs} | {
        "schedule": "step"
    }


def mma(protocol: str, source: str, shots: int) -> Settings:
    own = {"dim": 32, "scale": 0.001, "first": 5, "last": 12, "prompt": "a photo of a"}
    batch = 128 if source == "imagenet" else 16
    recipe = SGD | {"lr": 0.0015, "warmup_epochs": 0, "batch_size": batch, "epochs": 5}
    return {**own, **recipe}


def zeroshot(protocol: str, source: str, shots: int) -> Settings:
    return {"templates": (), "class_texts": False}


def hicropl(protocol: str, source: str, shots: int) -> Settings:
    sizes, epochs, batch = (16, 12, 6), 50, 32
    if protocol == "cross_dataset":
        sizes, epochs = (2, 6, 5), 5
    elif protocol == "base_to_new" and source == "imagenet":
        epochs, batch = 40, 128
    own: Settings = dict(zip(("n_ctx", "depth", "cross_layer"), sizes, strict=True))
    own |= {"w_distance": 12.0, "ctx_init": "a photo of a", "as_released": False}
    adam = SGD | {"optimizer": "adam", "lr": 0.0025, "eps": 1e-3}
    return {**own, **adam, "batch_size": batch, "epochs": epochs}


COPROMPT = {  # depth, tokens, W
    "imagenet": (12, 4, 8.0),
    "caltech101": (12, 4, 4.0),
    "oxford_pets": (12, 2, 0.1),
    "stanford_cars": (12, 4, 4.0),
    "oxford_flowers": (9, 4, 8.0),
    "food101": (9, 4, 0.5),
    "fgvc_aircraft": (9, 4, 2.0),
    "sun397": (12, 4, 8.0),
    "dtd": (12, 2, 8.0),
    "eurosat": (12, 2, 0.1),
    "ucf101": (12, 4, 2.0),
}


def coprompt(protocol: str, source: str, shots: int) -> Settings:
    own: Settings = dict(zip(("depth", "n_ctx", "w_consistency"), COPROMPT[source], strict=True))
    own |= {"ctx_init": "a photo of a", "share_image": 0.1, "share_text": 0.2, "reduction": 4}
    recipe = {"lr": 0.0035, "batch_size": 4, "views": ("randaugment", "randaugment")}
    return {**own, **SGD, **recipe, "epochs": 5 if source == "food101" else 8}


def linear_probe(protocol: str, source: str, shots: int) -> Settings:
    return {"C": 0.316, "max_iter": 1000}


# Tip-Adapter: the initial alpha, 1.17 elsewhere; beta is 1.
ALPHA = {
    **{"caltech101": 3.0, "stanford_cars": 3.0, "ucf101": 3.0, "dtd": 2.0, "eurosat": 2.0},
    **{"fgvc_aircraft": 5.0, "oxford_flowers": 10.0},
}
SEVEN = (
    *("itap of a {}.", "a bad photo of the {}.", "a origami {}.", "a photo of the large {}."),
    *("a {} in a video game.", "art of the {}.", "a photo of the small {}."),
)


def ensemble(source: str, protocol: str, *more: str) -> Settings:
    """The templates of ImageNet, as a source of few_shot and domain_generalization."""
    own = source == "imagenet" and protocol != "base_to_new"
    return {"templates": (*SEVEN, *more) if own else ()}


def taskres(protocol: str, source: str, shots: int) -> Settings:
    few, large = protocol == "few_shot", source == "imagenet" and protocol != "base_to_new"
    own = {"alpha": 1.0 if few and source == "oxford_flowers" else 0.5, "raw_names": False}
    recipe = {"optimizer": "adam", "lr": 2e-4 if large else 2e-3, "batch_size": 256}
    text = ensemble(source, protocol, "a photo of a {}.")
    return {**own, **text, **SGD, **recipe, "epochs": 100 if shots < 8 else 200}


def clipadapter(protocol: str, source: str, shots: int) -> Settings:
    epochs = {1: 50, 2: 100, 4: 100}.get(shots, 200) if protocol == "few_shot" else 200
    recipe = {"batch_size": 32, "epochs": 50 if source == "imagenet" else epochs}
    return {"ratio": 0.2, "reduction": 4, **SGD, **recipe}


def cached(protocol: str, source: str) -> Settings:
    alpha = ALPHA.get(source, 1.17) if protocol == "few_shot" else 1.17
    return {"alpha": alpha, "beta": 1.0, "passes": 10, **ensemble(source, protocol)}


def tipadapter(protocol: str, source: str, shots: int) -> Settings:
    return {**cached(protocol, source), "search": ()}


def tipadapterf(protocol: str, source: str, shots: int) -> Settings:
    own = {"weight_decay": 0.01, "eps": 1e-4, "schedule": "step", "warmup_epochs": 0}
    epochs = 100 if (protocol, source) == ("few_shot", "eurosat") else 20
    return {**cached(protocol, source), **ADAMW, **own, "batch_size": 256, "epochs": epochs}


def clap(protocol: str, source: str, shots: int) -> Settings:
    steps = {"epochs": 300, "batch_size": 256, "lr": 0.1, "momentum": 0.9, "warmup_epochs": 1}
    own = {"constraint": "l2", "passes": 20, "raw_names": False}
    return {**own, **steps, **ensemble(source, protocol, "a photo of a {}.")}


def lpp(protocol: str, source: str, shots: int) -> Settings:
    own = {"epochs": 300, "momentum": 0.9, "bias": True, "accumulate": True, "passes": 1}
    return {**own, **ensemble(source, protocol)}


ADAM = SGD | {"optimizer": "adam", "eps": 1e-3}
CLASS_TOKENS = {"n_ctx": 4, "ctx_init": "", "n_tokens": 4, "block": 9, "reduction": 4, "prompt": ""}
# What the code of TCP says to the frozen text tower where the card says something else.
TCP_GUIDES = {
    "dtd": "a photo of a {}, a type of texture.",
    "food101": "a photo of a {}, a type of food.",
    "fgvc_aircraft": "a photo of an aircraft {}.",
}
WORDS = {
    "imagenet": ("color", "shape"),
    "caltech101": ("shape", "size"),
    "oxford_pets": ("playfulness", "energy"),
    "stanford_cars": ("luxury",),
    "oxford_flowers": ("color", "habitat", "growth"),
    "food101": ("flavor", "preparation"),
    "fgvc_aircraft": ("design", "range"),
    "sun397": ("function",),
    "dtd": ("pattern", "color", "design"),
    "eurosat": ("habitat",),
    "ucf101": ("precision",),
}


def tcp(protocol: str, source: str, shots: int) -> Settings:
    guide = "" if protocol == "cross_dataset" else TCP_GUIDES.get(source, "")
    own = CLASS_TOKENS | {"w_guide": 8.0, "guide": guide}
    return {**own, **ADAM, "batch_size": 32, "epochs": 50}


def dekg_tcp(protocol: str, source: str, shots: int) -> Settings:
    return tcp(protocol, source, shots) | {"w_hsic": 6.0, "epochs": 100}


def dekg_kgcoop(protocol: str, source: str, shots: int) -> Settings:
    return kgcoop(protocol, source, shots) | {"w_hsic": 6.0}


def atprompt_coop(protocol: str, source: str, shots: int) -> Settings:
    n = 4 if protocol == "cross_dataset" or source == "dtd" else 2
    epochs = 10 if protocol == "cross_dataset" or source == "imagenet" else 100
    own = {"n_ctx": n, "n_att": n, "attributes": WORDS[source], "one_token": False}
    return {**own, **SGD, "batch_size": 32, "epochs": epochs}


def atprompt_maple(protocol: str, source: str, shots: int) -> Settings:
    n = 4 if protocol == "cross_dataset" or source not in ("fgvc_aircraft", "ucf101") else 2
    longer = source in ("caltech101", "oxford_pets", "oxford_flowers", "eurosat")
    depth, lr, epochs = (9, 0.0035, 10 if longer else 5)
    if protocol == "cross_dataset":
        depth, lr, epochs = 3, 0.0026, 2
    own = {"n_ctx": n, "n_att": n, "depth": depth, "attributes": WORDS[source], "one_token": False}
    return {**own, **SGD, "lr": lr, "batch_size": 4, "epochs": epochs}


PROGRAD_TEXT = {
    "oxford_pets": "a type of pet, a photo of a {}.",
    "oxford_flowers": "a type of flower, a photo of a {}.",
    "fgvc_aircraft": "a type of aircraft, a photo of a {}.",
    "dtd": "a texture of {}.",
    "eurosat": "a centered satellite photo of {}.",
    "food101": "a type of food, a photo of {}.",
    "ucf101": "a photo of a person doing {}.",
}


def prograd(protocol: str, source: str, shots: int) -> Settings:
    weak = source in ("oxford_flowers", "dtd", "eurosat") and shots >= 8
    own = {"n_ctx": 16, "ctx_init": True, "csc": False, "class_token_position": "end"}
    own |= {"template": PROGRAD_TEXT.get(source, "a photo of a {}."), "temperature": 1.0}
    epochs = {1: 50, 2: 100, 4: 100, 8: 200, 16: 200}[shots] if protocol == "few_shot" else 100
    strength = 0.8 if weak and protocol == "few_shot" else 1.0
    return {**own, "strength": strength, **SGD, "batch_size": 32, "epochs": epochs}


def twosfs(protocol: str, source: str, shots: int) -> Settings:
    own: Settings = {"sides": ("text", "image"), "first_text": 1, "first_image": 1}
    own |= {"prompt": "a photo of a", "stages": ({"share": 0.6}, {"share": 0.4})}
    adamw = ADAMW | {"lr": 2e-4, "final_lr": 1e-6, "weight_decay": 1e-2, "warmup_epochs": 0}
    adamw |= {"crop_scale": (0.08, 1.0), "schedule": "step", "batch_size": 32}
    return {**adamw, **own, "epochs": {"steps_per_shot": 300}}


TABLES = {
    table.__name__: table
    for table in (
        *(zeroshot, coop, cocoop, kgcoop, vpt, ivlp, maple, promptsrc),
        *(mmrl, mmrlpp, alignednorm, linear_probe, cliplora, mma, hicropl, coprompt),
        *(taskres, clipadapter, tipadapter, tipadapterf, clap, lpp, prograd, twosfs),
        *(tcp, dekg_tcp, dekg_kgcoop, atprompt_coop, atprompt_maple),
    )
}

# --- preset "unified": one setting for every source, the methods' own outside a source ------------
# Only what differs from a source of the preset "paper" that has no lines of its own.
UNIFIED_FAMILY: Mapping[str, Settings] = {
    "tipadapter": {"alpha": 1.17},
    "tipadapterf": {"alpha": 1.17},
    **{key: {"guide": ""} for key in ("kgcoop", "tcp", "dekg_kgcoop", "dekg_tcp")},
    **{key: {"attributes": ("color", "shape")} for key in ("atprompt_coop", "atprompt_maple")},
    "mmrl": {"reg_weight": 1.0},
    "mmrlpp": {"beta": 0.9, "reg_weight": 1.0},
    "alignednorm": {"beta": 0.9, "reg_weight": 1.0, "w_proj": 0.1, "w_token": 0.1},
    "coprompt": {"depth": 9, "n_ctx": 2, "w_consistency": 1.0},
    "mma": {"batch_size": 16},
    "prograd": {"template": "a photo of a {}.", "strength": 1.0},
}


def unified(method: str, protocol: str, shots: int) -> Settings:
    """The table's row of a source whose files change nothing but the family's weights."""
    if method == "cliplora":  # as many epochs as 100 classes take
        return TABLES[method](protocol, "caltech101", shots)
    family = {} if (method, protocol) == ("mmrl", "cross_dataset") else UNIFIED_FAMILY.get(method)
    source = "sun397" if method == "atprompt_coop" else "dtd"
    return TABLES[method](protocol, source, shots) | (family or {})


# --- what is in force ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known() -> KnownNames:
    return known_names([METHODS.load(name) for name in METHODS.names()])


class InForce:
    """A method's settings in any place, with its configuration read once."""

    def __init__(self, method: str, bindings: config.Bindings) -> None:
        cls, self._bindings = METHODS.load(method).cls, bindings
        untrained = cls.paradigm == "zero-shot" or has_solver(cls)
        self._classes = [cls] if untrained else [cls, Recipe]

    def __call__(self, protocol: str, preset: str, source: str, shots: int) -> Settings:
        leg = Leg(Source(source, "all", shots), ())
        scope = scope_of(protocol, PROTOCOLS.load(protocol).cls(), preset, leg)
        found = {k: v for c in self._classes for k, v in self._of(c, scope, shots).items()}
        if "epochs" in found:
            found["epochs"] = epochs_for(found["epochs"], shots)
        return {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}

    def _of(self, cls: type, scope: str, shots: int) -> Settings:
        annotations = {name: p.annotation for name, p in config.parameters(cls).items()}
        values = self._bindings.values(cls, scope)
        return values if cls is Recipe else settled(values, annotations, shots)


@pytest.fixture(params=sorted(TABLES))
def method(request: pytest.FixtureRequest, known: KnownNames) -> tuple[str, InForce]:
    """A method's name and what its gin file, and no other, sets it to."""
    file = METHODS.load(request.param).gin_file
    assert file is not None
    return request.param, InForce(request.param, config.load(ConfigSources((file,)), known))


def asked() -> Iterator[tuple[str, str, int]]:
    """Protocols with the protocol whose settings theirs are, and numbers of shots."""
    yield from (("few_shot", "few_shot", shots) for shots in SHOTS)
    yield "base_to_new", "base_to_new", 16
    yield "generalized_base_to_new", "base_to_new", 16
    yield "cross_dataset", "cross_dataset", 16
    yield "domain_generalization", "cross_dataset", 16


def test_the_tables_are_of_all_methods_and_protocols() -> None:
    assert set(TABLES) == set(METHODS.names())
    assert {protocol for protocol, _, _ in asked()} == set(PROTOCOLS.names())


def test_paper_settings_are_the_tables(method: tuple[str, InForce]) -> None:
    name, in_force = method
    for protocol, settings, shots in asked():
        for source in FAMILY:
            now = in_force(protocol, "paper", source, shots)
            assert now == TABLES[name](settings, source, shots), (protocol, source, shots)


def test_unified_settings_leave_the_sources_out(method: tuple[str, InForce]) -> None:
    name, in_force = method
    for protocol, settings, shots in asked():
        for source in ("imagenet", "eurosat"):
            now = in_force(protocol, "unified", source, shots)
            assert now == unified(name, settings, shots), (protocol, source, shots)


def test_no_shipped_training_ends_within_its_warm_up(method: tuple[str, InForce]) -> None:
    _, in_force = method
    for protocol, _, shots in asked():
        for preset in ("paper", "unified"):
            now = in_force(protocol, preset, "imagenet", shots)
            epochs = now.get("epochs")
            assert not isinstance(epochs, int) or epochs > now.get("warmup_epochs", 0)
