"""Bindings as plain data: whose values win, where errors point, and that nothing is shared."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from promptbench import config
from promptbench.config import Bindings, ConfigSources, KnownNames
from promptbench.contract.towers import tiny_towers
from promptbench.contract.world import World
from promptbench.core import registry
from promptbench.core.recipe import Recipe
from promptbench.errors import UserError
from promptbench.planning import plan
from promptbench.planning.request import Request
from promptbench.running.lab.calling import built
from promptbench.running.lab.compute import Compute

ROOT = Path(__file__).parents[2]
KNOWN = KnownNames(
    configurables={"Recipe": Recipe},
    protocols=frozenset({"few_shot", "base_to_new"}),
    datasets=frozenset({"dtd"}),
    suites=frozenset({"clip"}),
)

DECORATED = '''
"""A plugin as they were written once."""
import gin
import torch
from torch import nn

from promptbench.api import Method


class Base(Method):
    def __init__(self, towers, classes, words=("a",), scale=1.0):
        super().__init__(towers, classes)
        words = list(words) if isinstance(words, tuple) else words
        self.words, self.scale = words, nn.Parameter(torch.tensor(float(scale)))
        words.append("spoilt")

    def prepare(self, classes):
        return classes

    def logits(self, images, prepared):
        return images

    def losses(self, images, labels, prepared):
        return {"ce": self.scale}


@gin.configurable
class Decorated(Base):
    title, paper, paradigm = "decorated", "none", "end-to-end"

    def __init__(self, towers, classes, rank: int = 2, **kwargs):
        super().__init__(towers, classes, **kwargs)
        self.rank = rank
        self.seen = (gin.current_scope(), gin.config_str().strip())
'''


def loaded(*overrides: str, text: str = "", folder: Path | None = None) -> Bindings:
    files: tuple[Path, ...] = ()
    if folder is not None:
        files = (folder / "mine.gin",)
        files[0].write_text(text)
    return config.load(ConfigSources(files, overrides), KNOWN)


def plan_of(protocol: str, **changes: Any) -> plan.Plan:
    wanted = {"methods": ["coop"], "datasets": ["counts"], "seeds": [1], **changes}
    return plan.build(Request(protocol=protocol, **wanted), "fp32")


@pytest.mark.parametrize(
    ("overrides", "scope", "flip"),
    [
        ((), "few_shot/dtd", 0.3),
        ((), "few_shot", 0.2),
        ((), "few_shot/ucf101", 0.2),
        ((), "base_to_new/dtd", 0.1),
        ((), "clip", 0.1),
        (("Recipe.flip=0.4",), "few_shot/dtd", 0.4),
        (("Recipe.flip=0.4",), "", 0.4),
        (("few_shot/Recipe.flip=0.4",), "few_shot/dtd", 0.3),
        (("few_shot/Recipe.flip=0.4",), "few_shot/ucf101", 0.4),
        (("few_shot/dtd/Recipe.flip=0.4",), "few_shot/dtd", 0.4),
        (("Recipe.flip=0.4", "few_shot/dtd/Recipe.flip=0.5"), "few_shot/dtd", 0.5),
        (("few_shot/dtd/Recipe.flip=0.5", "Recipe.flip=0.4"), "few_shot/dtd", 0.4),
        (("Recipe.flip=0.4", "Recipe.flip=0.6"), "few_shot/dtd", 0.6),
        (("promptbench.core.recipe.Recipe.flip=0.4",), "few_shot/dtd", 0.4),
        (("recipe.Recipe.flip=0.4",), "few_shot/dtd", 0.4),
    ],
)
def test_the_innermost_scope_wins_and_bindings_without_one_win_over_files(
    overrides: tuple[str, ...], scope: str, flip: float, tmp_path: Path
) -> None:
    text = "few_shot/dtd/Recipe.flip = 0.3\nRecipe:\n  flip = 0.1\nfew_shot/Recipe.flip = 0.2\n"
    found = loaded(*overrides, text=text, folder=tmp_path)
    assert found.values(Recipe, scope)["flip"] == flip


def test_a_class_of_another_module_is_not_meant() -> None:
    with pytest.raises(UserError, match=r"nothing in this run is called 'ipe\.Recipe'; did you"):
        loaded("ipe.Recipe.flip=0.4")


def test_bindings_added_win_over_those_before(tmp_path: Path) -> None:
    first = loaded("Recipe.flip=0.1", text="few_shot/Recipe.lr = 0.1", folder=tmp_path)
    other = loaded(text="few_shot/Recipe.lr = 0.2\nRecipe.flip=0.9", folder=tmp_path)
    both = first + other
    assert both.values(Recipe, "few_shot")["lr"] == 0.2
    assert both.values(Recipe, "few_shot")["flip"] == 0.1  # files never win over --set


@pytest.mark.parametrize("protocol", ["few_shot", "base_to_new"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("few_shot/counts/CoOp.n_ctx = 'four'", "CoOp.n_ctx = 'four' does not fit int"),
        ("few_shot/counst/CoOp.n_ctx = 4", "unknown scope 'few_shot/counst'"),
        ("few_shot/CoOp.n_cxt = 4", "CoOp has no parameter 'n_cxt'; did you mean 'n_ctx'"),
    ],
)
def test_every_protocol_refuses_a_scoped_line_with_its_place(
    line: str, message: str, protocol: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.gin"
    path.write_text(f"CoOp.n_ctx = 4\n\n{line}\n")
    with pytest.raises(UserError) as caught:
        plan_of(protocol, gin=[path])
    assert str(caught.value).startswith(f"{path}, line 3: {message}")


@pytest.mark.parametrize("line", ["flip = 7.0", "epochs = {}", "epochs = {1: 0}"])
def test_a_recipe_outside_its_ranges_is_refused_with_its_place(line: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.gin"
    path.write_text(f"Recipe.flip = 0.5\nfew_shot/counts/Recipe.{line}\n")
    with pytest.raises(UserError, match=r"mine\.gin, line 2: Recipe\.(flip|epochs) (must|is)"):
        plan_of("few_shot", gin=[path])
    plan_of("base_to_new", gin=[path])  # whose scope it is not


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.gin"
    for number in (3, 5):
        path.write_text(f"few_shot/CoOp.n_ctx = {number}\n")
        assert plan_of("few_shot", gin=[path]).cells[-1].parameters["n_ctx"] == number


def test_values_are_given_away_as_copies() -> None:
    bindings = loaded("Recipe.epochs={1: 50}", "Recipe.crop_scale=[0.5, 1.0]")
    spoilt = bindings.values(Recipe, "few_shot")
    spoilt["epochs"][1] = 0
    spoilt["crop_scale"].append(7)
    assert bindings.values(Recipe, "few_shot")["epochs"] == {1: 50}
    assert bindings.values(Recipe, "few_shot")["crop_scale"] == [0.5, 1.0]
    nested = {1: ([2, [3]], "x")}
    own = config.copied(nested)
    own[1][0][1].append(4)
    assert nested == {1: ([2, [3]], "x")}


def test_a_plugin_with_gins_decorator_gets_its_values_by_keyword(tmp_path: Path) -> None:
    file = tmp_path / "decorated.py"
    file.write_text(DECORATED)
    bindings = ["Decorated.rank=5", "Decorated.words=['b']", "few_shot/Decorated.scale=3.0"]
    registry.add_file(file)
    asked = Request(["decorated"], "few_shot", datasets=["counts"], set=bindings)
    cell = plan.build(asked, "fp32").cells[-1]
    wanted = {"rank": 5, "words": ["b"], "scale": 3.0}
    assert cell.parameters == wanted
    world = World.standard()
    for _ in range(2):  # what a method does with its list, the next one does not see
        towers = tiny_towers(world.seed, world.shape)
        made: Any = built(
            Compute(torch.device("cpu"), "fp32"),
            cell.method.cls,
            towers,
            world.train,
            **cell.parameters,
        )
        assert (made.rank, made.words, made.scale.item()) == (5, ["b", "spoilt"], 3.0)
        assert made.seen == ([], "")
    assert cell.parameters == wanted


def test_a_method_cannot_be_called_like_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(DECORATED.replace("class Decorated", "class Recipe").replace("@gin.", "#"))
    with pytest.raises(UserError, match=r"mine .* calls its class Recipe, .*rename"):
        registry.add_file(file)
        plan_of("few_shot", methods=["mine"])


def test_gin_is_its_parser_and_nothing_else() -> None:
    """No registry, no state: what is not in this one import cannot run."""
    found = {
        (path.relative_to(ROOT).as_posix(), ast.unparse(node))
        for room in ("promptbench", "methods", "protocols", "leaderboard")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and re.search(r"\b(import|from) gin\b", ast.unparse(node))
    }
    assert found == {("promptbench/config/parsing.py", "from gin import config_parser")}
