"""Configuration: what gin leaves unchecked is refused with its place, and nothing leaks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptbench import config
from promptbench.config import ConfigSources, KnownNames
from promptbench.core.course import Course
from promptbench.core.recipe import Recipe, epochs_for
from promptbench.core.registry import METHODS, PROTOCOLS
from promptbench.data.cards import cards
from promptbench.errors import UserError
from promptbench.methods.alignednorm import AlignedNorm
from promptbench.methods.coop import CoOp
from promptbench.planning import edge, grids, plan
from promptbench.planning.grids import Grid
from promptbench.planning.request import Request
from promptbench.planning.settings import known_names, settings_of

SCOPE = "base_to_new/eurosat"


@pytest.fixture(scope="module")
def known() -> KnownNames:
    return known_names([METHODS.load("alignednorm"), METHODS.load("coop")])


def value(
    known: KnownNames, name: str, scope: str, *overrides: str, files: tuple[Path, ...] = ()
) -> object:
    cls = {"AlignedNorm": AlignedNorm, "Recipe": Recipe, "CoOp": CoOp}[name.split(".")[0]]
    bindings = config.load(ConfigSources(files, overrides), known)
    return bindings.values(cls, scope)[name.split(".")[1]]


def test_scopes_nest_and_overrides_win(known: KnownNames) -> None:
    file = METHODS.load("alignednorm").gin_file
    assert file is not None
    assert value(known, "AlignedNorm.beta", SCOPE, files=(file,)) == 0.2
    assert value(known, "AlignedNorm.beta", "base_to_new", files=(file,)) == 0.9
    assert value(known, "Recipe.batch_size", "cross_dataset", files=(file,)) == 32
    override = "AlignedNorm.beta=0.55"
    assert value(known, "AlignedNorm.beta", SCOPE, override, files=(file,)) == 0.55


def test_values_do_not_survive(known: KnownNames) -> None:
    assert value(known, "CoOp.n_ctx", SCOPE, "CoOp.n_ctx=9") == 9
    assert value(known, "CoOp.n_ctx", SCOPE) == 4


def test_parameters_are_collected_through_keyword_arguments() -> None:
    names = set(config.parameters(AlignedNorm))
    assert {"w_token", "beta", "alpha", "layers"} <= names
    assert not names & {"towers", "classes", "network", "shared"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("AlignedNorm.betta=0.5", "no parameter 'betta'; did you mean 'beta'"),
        ("AlignedNrom.beta=0.5", "did you mean 'AlignedNorm'"),
        ("AlignedNorm.beta='x'", "does not fit float"),
        ("AlignedNorm.beta='0.5'", "does not fit float"),
        ("AlignedNorm.n_tokens=2.5", "does not fit int"),
        ("CoOp.n_ctx=0", "CoOp.n_ctx = 0 does not fit int: Input should be greater"),
        ("CoOp.n_ctx=-3", "CoOp.n_ctx = -3 does not fit int"),
        ("AlignedNorm.beta=1.5", "AlignedNorm.beta = 1.5 does not fit float: Input should be less"),
        ("AlignedNorm.w_token=-0.1", "does not fit float"),
        ("AlignedNorm.w_token=1e999", "does not fit float: Input should be a finite number"),
        ("AlignedNorm.layers=(0, 1)", "= (0, 1) does not fit Sequence[int]: Input should be"),
        ("AlignedNorm.layers=()", "= () does not fit Sequence[int]"),
        ("Recipe.optimizer='lion'", "does not fit"),
        (
            "Recipe.epochs=abc",
            "--set: cannot be parsed in 'Recipe.epochs=abc': 'abc' is not a value",
        ),
        ("Recipe.crop_scale=(0.5,)", "does not fit"),
        ("base_to_nwe/AlignedNorm.beta=0.5", "unknown scope 'base_to_nwe'"),
        ("base_to_new/eurosta/AlignedNorm.beta=0.5", "did you mean 'eurosat'"),
        ("AlignedNorm.beta=", "cannot be parsed"),
        ("import os", "include and import"),
        ("CoOp.n_ctx=%os.name", "%os.name is a macro of gin, which is not used here"),
        ("CoOp.n_ctx=%CoOp", "is a macro of gin"),
        ("CoOp.n_ctx=@CoOp()", "@CoOp is a reference of gin, which is not used here"),
        ("AlignedNorm.layers=(1, @x/y)", "@x/y is a reference of gin"),
        ("Recipe.epochs={1: %x}", "is a macro of gin"),
        ("n = 4", "n = ... defines a macro of gin"),
        ("x/n = 4", "defines a macro of gin"),
        ("CoOp.n_ctx={[1]: 2}", "unhashable"),
        ("CoOp.n_ctx=" + "[" * 5000 + "]" * 5000, "it is nested too deeply"),
        ("CoOp.n_ctx=" + "(" * 100_000, "it is nested too deeply"),
        ("CoOp.n_ctx=" + "{1:" * 5000, "it is nested too deeply"),
        ("CoOp.n_ctx=" + "9" * 250, "CoOp.n_ctx must be finite and fit 64 bits, not 999"),
        ("CoOp.n_ctx=" + "9" * 5000, "cannot be parsed"),
        ("Recipe.epochs={1: " + "9" * 30 + "}", "Recipe.epochs must be finite and fit 64 bits"),
        ("CoOp.ctx_init='" + "x" * 5000, "cannot be parsed"),
    ],
)
def test_wrong_bindings_are_refused(known: KnownNames, override: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as found:
        value(known, "AlignedNorm.beta", SCOPE, override)
    assert len(str(found.value)) < 500  # whatever was given


def test_a_file_of_references_is_refused_with_its_line(known: KnownNames, tmp_path: Path) -> None:
    path = tmp_path / "mine.gin"
    path.write_text("CoOp.n_ctx = 4\nCoOp.csc = %os.name\n")
    with pytest.raises(UserError, match=r"mine\.gin, line 2: .*%os\.name is a macro"):
        value(known, "CoOp.n_ctx", SCOPE, files=(path,))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
        (os.mkfifo, r"it is a pipe \(FIFO\), not a file"),
        (lambda path: path.write_bytes(b"\n" * (4 * 2**20 + 1)), "it is larger than 4 MiB"),
        (lambda path: path.write_bytes(b"\xff"), "it is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_settings_is_not_read(
    make: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.gin"
    make(path)
    known = "cannot read the configuration .*" + reason
    with pytest.raises(UserError, match=known):
        plan.build(Request(["coop"], "few_shot", datasets=["counts"], gin=[path]), "fp32")
    with pytest.raises(UserError, match=known):
        grids.load(str(path))


def test_a_source_that_gin_cannot_name_has_the_protocols_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(tmp_path))
    text = cards.path_of("counts").read_text()
    (tmp_path / "102things.toml").write_text(text.replace('name = "counts"', 'name = "102things"'))
    bindings = ["few_shot/CoOp.n_ctx = 7"]
    made = plan.build(
        Request(["coop"], "few_shot", datasets=["102things"], shots=2, set=bindings), "fp32"
    )
    assert made.cells[-1].parameters["n_ctx"] == 7


@pytest.mark.parametrize("option", ["shots", "limit", "workers", "jobs", "seeds"])
def test_numbers_that_no_record_holds_are_refused(option: str) -> None:
    for number in (2**63, int("9" * 250), -1):
        given: Any = [number] if option == "seeds" else number
        with pytest.raises(UserError, match=rf"--{option} must be") as found:
            edge.asked(Grid(("coop",), ("few_shot",)), {option: given})
        assert len(str(found.value)) < 200


@pytest.mark.parametrize("override", ["AlignedNorm.layers=(6, 9)", "AlignedNorm.layers=[6, 9]"])
def test_sequences_may_be_lists_or_tuples(known: KnownNames, override: str) -> None:
    assert list(value(known, "AlignedNorm.layers", SCOPE, override)) == [6, 9]  # type: ignore[call-overload]


def test_whole_numbers_fit_floats(known: KnownNames) -> None:
    assert value(known, "Recipe.lr", SCOPE, "Recipe.lr=1") == 1


def test_errors_in_files_name_file_and_line(known: KnownNames, tmp_path: Path) -> None:
    file = tmp_path / "mine.gin"
    file.write_text("# settings\n\nCoOp.n_ctx = 'four'\n")
    with pytest.raises(UserError, match=r"mine\.gin, line 3: CoOp\.n_ctx = 'four'"):
        value(known, "CoOp.n_ctx", SCOPE, files=(file,))
    file.write_text("CoOp.n_ctx = = 4\n")
    with pytest.raises(UserError, match=r"mine\.gin, line 1: cannot be parsed"):
        value(known, "CoOp.n_ctx", SCOPE, files=(file,))


@pytest.mark.parametrize("name", METHODS.names())
def test_every_number_of_a_method_has_a_range(name: str) -> None:
    """A value outside it is refused by a plan, not found out by a cell."""
    parameters = config.parameters(METHODS.load(name).cls)
    assert not [n for n, p in parameters.items() if p.annotation in (int, float)]


@pytest.mark.parametrize("name", METHODS.names())
def test_every_methods_file_holds(name: str) -> None:
    plugin = METHODS.load(name)
    assert plugin.gin_file is not None
    own = config.load(ConfigSources((plugin.gin_file,)), known_names([plugin]))
    settings = own.values(Recipe, SCOPE)
    for shots in (1, 2, 4, 8, 16):
        recipe = Recipe(**{**settings, "epochs": epochs_for(settings["epochs"], shots)})
        assert Course.of(recipe, images=100 * shots, shots=shots).steps >= 1


def test_plugins_are_imported_by_their_full_names() -> None:
    """`import methods.x` beside `promptbench.methods.x` would make two classes of each."""
    for registry in (METHODS, PROTOCOLS):
        for name in registry.names():
            cls = registry.load(name).cls
            assert cls.__module__.startswith("promptbench.")


def test_recipe_schedule() -> None:
    warm = Recipe(lr=1.0, epochs=4, warmup_epochs=1, warmup_lr=1e-5)
    assert warm.lr_at(0) == 1e-5 and warm.lr_at(1) == 1.0
    assert warm.lr_at(3) == pytest.approx(0.5)
    cold = Recipe(lr=1.0, epochs=4, warmup_epochs=0)
    assert [round(cold.lr_at(e), 4) for e in range(4)] == [1.0, 0.8536, 0.5, 0.1464]


def test_epochs_may_depend_on_the_shots() -> None:
    table = {1: 50, 2: 100, 4: 100, 8: 200}
    assert [epochs_for(table, shots) for shots in (1, 2, 3, 4, 8, 16)] == [
        50,
        100,
        100,
        100,
        200,
        200,
    ]
    assert epochs_for({4: 7}, 1) == 7 and epochs_for(9, 1) == 9
    assert Recipe(epochs=epochs_for(table, 8)).n_epochs == 200
    with pytest.raises(UserError, match="empty table"):
        epochs_for({}, 1)


@pytest.mark.parametrize(
    ("source", "shots", "epochs"),
    [("dtd", 1, 50), ("dtd", 4, 100), ("dtd", 16, 200), ("imagenet", 1, 50), ("imagenet", 16, 50)],
)
def test_coop_trains_longer_on_more_shots(source: str, shots: int, epochs: int) -> None:
    coop = METHODS.load("coop")
    assert coop.gin_file is not None
    own = config.load(ConfigSources((coop.gin_file,)), known_names([coop]))
    found = settings_of(coop, own, f"few_shot/{source}", shots)
    assert found["Recipe"]["epochs"] == epochs and found["CoOp"]["n_ctx"] == 16


@pytest.mark.parametrize("name", ["mmrlpp", "alignednorm"])
def test_few_shot_keeps_the_sources_settings_but_for_the_recipe(name: str) -> None:
    plugin = METHODS.load(name)
    assert plugin.gin_file is not None
    own = config.load(ConfigSources((plugin.gin_file,)), known_names([plugin]))
    few = settings_of(plugin, own, "few_shot/stanford_cars", 16)
    base = settings_of(plugin, own, "base_to_new/stanford_cars", 16)
    assert few[plugin.cls.__name__] == base[plugin.cls.__name__]
    recipe = few["Recipe"]
    assert (recipe["epochs"], recipe["batch_size"], recipe["lr"]) == (100, 32, 2e-3)


@pytest.mark.parametrize(
    "binding",
    [
        "epochs=0",
        "epochs=-1",
        "epochs={1: 50, 4: 0}",
        "epochs={0: 50}",
        "warmup_epochs=-5",
        "warmup_lr=-1.0",
        "flip=7.0",
        "flip=-0.1",
        "crop_scale=(2.0, 3.0)",
        "crop_scale=(0.0, 1.0)",
        "crop_scale=(0.9, 0.5)",
        "momentum=-3.0",
        "momentum=1.0",
        "weight_decay=-0.1",
        "batch_size=0",
        "lr=-1.0",
        "lr=1e999",
        "average=(9.0, 0.0)",
    ],
)
def test_a_recipe_outside_its_ranges_is_refused_with_its_setting(binding: str) -> None:
    name = binding.partition("=")[0]
    with pytest.raises(UserError, match=rf"Recipe\.{name} must be .*, not "):
        plan.build(Request(["coop"], "few_shot", set=[f"Recipe.{binding}"]), "fp32")


def test_a_recipe_that_is_built_is_within_its_ranges() -> None:
    with pytest.raises(UserError, match=r"Recipe\.flip must be a probability from 0 to 1, not 7"):
        Recipe(flip=7)
    assert Recipe(flip=1.0, crop_scale=(1.0, 1.0), warmup_epochs=0, momentum=0.0).n_epochs == 50
