"""Sweeps: which combinations they stand for, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given as generated
from hypothesis import strategies as st

from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.planning import edge, plan, sweeps
from promptbench.planning.grids import Grid
from promptbench.planning.machine import Machine


def test_a_sweep_is_a_product_and_the_last_setting_varies_fastest() -> None:
    found = sweeps.axes(["AlignedNorm.w_token=0,0.01,0.1", "AlignedNorm.w_proj = 0, 0.1"])
    assert sweeps.combinations(found) == [
        (f"AlignedNorm.w_token = {token}", f"AlignedNorm.w_proj = {proj}")
        for token in ("0", "0.01", "0.1")
        for proj in ("0", "0.1")
    ]
    assert sweeps.combinations([]) == [()]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Recipe.lr=1e-3,", (1e-3,)),
        ("Recipe.optimizer='sgd','adamw'", ("sgd", "adamw")),
        ("MMRL.layers=(6, 7),(11,)", ((6, 7), (11,))),
        ("CoOp.ctx_init='a photo, of a',''", ("a photo, of a", "")),
        ("Recipe.epochs={1: 5, 4: 10},20", ({1: 5, 4: 10}, 20)),
        ("Recipe.average=None,(6.0, 10.0)", (None, (6.0, 10.0))),
        ("CoOp.csc=True,False", (True, False)),
    ],
)
def test_values_are_those_of_gin(text: str, values: tuple[Any, ...]) -> None:
    (axis,) = sweeps.axes([text])
    assert axis.values == values
    assert axis.bindings == [f"{axis.name} = {value!r}" for value in values]


def test_a_scope_stays_with_its_setting() -> None:
    (axis,) = sweeps.axes(["base_to_new/Recipe.lr=1,2"])
    assert (axis.name, axis.bindings[0]) == ("Recipe.lr", "base_to_new/Recipe.lr = 1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Recipe.lr", "is not of the form Name.parameter=value,value"),
        ("lr=1,2", "is not of the form"),
        ("=1,2", "is not of the form"),
        ("Recipe.lr=", "names no value"),
        ("Recipe.lr=,", "names no value"),
        ("Recipe.lr=1,,2", "cannot be parsed"),
        ("Recipe.lr=1),(2", "--sweep"),
        ("Recipe.lr=1)\nRecipe.epochs = (1", "is not of the form"),
        ("Recipe.optimizer=sgd,adamw", "'sgd' is not a value"),
        ("Recipe.lr=0,0.1,0.0", "names the value 0.0 more than once"),
    ],
)
def test_what_is_no_sweep_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError, match="--sweep") as caught:
        sweeps.axes([text])
    assert said in str(caught.value)


@generated(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        for axis in sweeps.axes([f"Recipe.lr={text}"]):
            assert axis.values
    except UserError:
        pass


def test_a_setting_is_swept_once_and_not_set_as_well() -> None:
    with pytest.raises(UserError, match=r"names Recipe\.lr more than once"):
        sweeps.axes(["Recipe.lr=1,2", "Recipe.lr=3"])
    with pytest.raises(UserError, match=r"Recipe\.lr is both swept and set"):
        Grid(("coop",), ("few_shot",)).requests({"sweep": ["Recipe.lr=1,2"], "set": "Recipe.lr=3"})


def test_a_grid_says_the_same_and_options_win_over_it() -> None:
    grid = Grid(("coop",), ("few_shot",), sweeps=("Recipe.lr=1e-3,2e-3", "CoOp.n_ctx=2,4"))
    asked = {"sweep": ["Recipe.lr=1e-3,2e-3", "CoOp.n_ctx=2,4"]}
    assert grid.requests({}) == Grid(("coop",), ("few_shot",)).requests(asked)
    assert [request.set for request in grid.requests({"sweep": "CoOp.csc=True"})] == [
        ("CoOp.csc = True",)
    ]
    with pytest.raises(UserError, match="leave one of them out"):
        Grid(("coop",), ("few_shot",), sweeps=("CoOp.n_ctx=2,4",), titles=("a",)).requests({})


def test_from_python_a_sweep_is_an_option() -> None:
    requests, _ = edge.asked(Grid(("coop",), ("few_shot",)), {"sweep": "CoOp.n_ctx=2,4"})
    assert [request.set for request in requests] == [("CoOp.n_ctx = 2",), ("CoOp.n_ctx = 4",)]


def test_combinations_are_the_cells_of_their_bindings() -> None:
    """One that is the method's usual value is its usual cell; other methods have one each."""
    grid = Grid(("coop", "kgcoop"), ("base_to_new",))
    (usual,) = grid.requests({"datasets": ["counts"]})
    own = plan.build(usual, "fp32").cells[-1].parameters["w_guide"]
    options = {"datasets": ["counts"], "sweep": [f"KgCoOp.w_guide=4.0,{own}"]}
    swept = plan.distinct([plan.build(each, "fp32") for each in grid.requests(options)])
    cells = [cell for made in swept for cell in made.cells]
    assert [(cell.method.name, cell.overrides) for cell in cells] == [
        ("zeroshot", []),
        ("coop", []),
        ("kgcoop", ["KgCoOp.w_guide = 4.0"]),
        ("kgcoop", []),
    ]
    assert {cell.id for cell in plan.build(usual, "fp32").cells} < {cell.id for cell in cells}


def test_a_setting_without_a_scope_is_the_same_in_every_scope() -> None:
    for swept, bound in (("Recipe.lr", "few_shot/Recipe.lr"), ("few_shot/Recipe.lr", "Recipe.lr")):
        with pytest.raises(UserError, match=r"Recipe\.lr is both swept and set"):
            sweeps.axes([f"{swept}=1,2"], [f"{bound} = 3"])
        with pytest.raises(UserError, match=f"names {bound} more than once"):
            sweeps.axes([f"{swept}=1,2", f"{bound}=3,4"])
    with pytest.raises(UserError, match=r"Recipe\.lr is both swept and set"):
        sweeps.axes(["few_shot/Recipe.lr=1,2"], ["few_shot/Recipe.lr = 3"])
    assert sweeps.axes(["few_shot/Recipe.lr=1,2"], ["base_to_new/Recipe.lr = 3"])


@pytest.mark.parametrize(
    ("swept", "said"),
    [
        ("Recipe.lr=1e-3,-1", "Recipe.lr must be"),
        ("Recipe.lr=1e-3,None", "Recipe.lr = None does not fit"),
        ("Recipe.lr=1e-3,1e999", "cannot be parsed in 'Recipe.lr = inf'"),
        ("Recipe.lrr=1,2", "has no parameter 'lrr'"),
        ("MaPLe.depth=1,2", "nothing in this run is called 'MaPLe'"),
        ("coop/Recipe.lr=1,2", "unknown scope 'coop'"),
    ],
)
def test_what_a_sweep_says_wrong_is_said_of_the_sweep(swept: str, said: str) -> None:
    grid = Grid(("coop",), ("few_shot",))
    with pytest.raises(UserError, match=f"^--sweep.*{re.escape(said)}"):
        plan.of_requests(
            grid.requests({"sweep": [swept], "set": "Recipe.epochs = 2"}), "fp32", Machine.out
        )
    with pytest.raises(UserError, match=r"^--set: .*Recipe\.epochs"):
        plan.of_requests(
            grid.requests({"sweep": ["Recipe.lr=1,2"], "set": "Recipe.epochs = -2"}),
            "fp32",
            Machine.out,
        )


def test_a_swept_value_wins_over_every_file_like_one_that_is_set(tmp_path: Path) -> None:
    scoped = tmp_path / "own.gin"
    scoped.write_text("few_shot/fills/Recipe.lr = 0.5\n")
    options = {"gin": [scoped], "datasets": ["fills"], "shots": 1, "seeds": 1}
    grid = Grid(("coop",), ("few_shot",))
    made = plan.of_requests(
        grid.requests({**options, "sweep": ["Recipe.lr=1e-3,2e-3"]}), "fp32", tmp_path
    )
    rates = [cell.recipe["lr"] for each in made for cell in each.cells if cell.by_steps]
    assert rates == [1e-3, 2e-3]


def test_a_sweep_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    scoped = tmp_path / "own.gin"
    scoped.write_text("few_shot/fills/Recipe.lr = 0.5\n")
    grid = Grid(("coop",), ("few_shot",))
    options = {"datasets": ["fills"], "shots": 1, "seeds": 1}
    for swept, more in (
        ("base_to_new/Recipe.lr=1e-3,2e-3", {}),
        ("few_shot/Recipe.lr=1e-3,2e-3", {"gin": [scoped]}),
    ):
        asked = {**options, **more, "sweep": [swept, "CoOp.n_ctx=2,4"]}
        with pytest.raises(UserError, match=r"^--sweep \w+/Recipe\.lr: all of its values"):
            plan.of_requests(grid.requests(asked), "fp32", tmp_path)
    for fine in ("few_shot/Recipe.lr=1e-3,2e-3", "base_to_new/Recipe.lr=1e-3", "CoOp.n_ctx=16,4"):
        assert plan.of_requests(grid.requests({**options, "sweep": [fine]}), "fp32", tmp_path)


def test_an_unknown_setting_is_refused_before_anything_is_computed() -> None:
    (request,) = Grid(("coop",), ("few_shot",)).requests({"sweep": ["CoOp.n_ct=2"]})
    with pytest.raises(UserError, match=r"CoOp has no parameter 'n_ct'.*n_ctx"):
        plan.build(request, "fp32")


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_plot_of_no_sweep_is_refused_also_by_a_dry_run(more: list[str]) -> None:
    asked = ["run", "--method", "coop", "--protocol", "few_shot", "--plot", "rates", *more]
    found = CliRunner().invoke(main, asked)
    assert found.exit_code == 2 and "--plot draws what --sweep varies" in found.stderr


def test_a_folder_of_plots_that_cannot_be_written_is_refused_before_anything_is_computed(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    asked = ["run", "--method", "coop", "--protocol", "few_shot", "--datasets", "fills"]
    asked += ["--sweep", "Recipe.lr=1e-3,2e-3", "--plot", str(tmp_path / "file" / "rates")]
    found = CliRunner().invoke(main, [*asked, "--out", str(tmp_path / "runs")])
    assert found.exit_code == 2 and "pass another with --plot" in found.stderr
    assert not list(tmp_path.rglob("record.json"))
