"""Grids and plans: what they ask for, what is shared, what changes no other number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptbench.core.registry import PROTOCOLS
from promptbench.errors import UserError
from promptbench.planning import edge, grids, plan
from promptbench.planning.cells import Cell
from promptbench.planning.grids import Grid
from promptbench.planning.plan import Plan
from promptbench.report import assemble
from promptbench.report.naming import titles_of
from promptbench.running.session import execute, plans_of


def built(grid: Grid, **options: Any) -> list[Plan]:
    return plan.distinct([plan.build(request, "fp32") for request in grid.requests(options)])


def cells(grid: Grid, **options: Any) -> list[Cell]:
    return [cell for made in built(grid, **options) for cell in made.cells]


def gin_file(folder: Path, text: str) -> str:
    path = folder / "mine.gin"
    path.write_text(text)
    return str(path)


def test_a_grid_is_a_product(tmp_path: Path) -> None:
    text = """
Grid.methods = ('coop', 'alignednorm')
Grid.protocols = ('base_to_new', 'cross_dataset')
Grid.seeds = (1, 2)
Grid.presets = ('paper', 'unified')
"""
    requests = grids.load(gin_file(tmp_path, text)).requests({})
    assert [(r.protocol, r.preset) for r in requests] == [
        ("base_to_new", "paper"),
        ("base_to_new", "unified"),
        ("cross_dataset", "paper"),
        ("cross_dataset", "unified"),
    ]
    assert all(r.methods == ("coop", "alignednorm") and r.seeds == (1, 2) for r in requests)


def test_options_win_over_the_grid() -> None:
    grid = Grid(("coop",), ("few_shot",), seeds=(1, 2, 3), presets=("paper", "unified"))
    (request,) = grid.requests({"seeds": [7], "preset": "unified", "shots": None})
    assert request.seeds == (7,) and request.preset == "unified" and request.shots is None


def test_variants_are_rows_and_concern_only_their_method() -> None:
    grid = Grid(
        ("coop", "alignednorm"),
        ("base_to_new",),
        variants=((), ("AlignedNorm.w_token = 0.0",), ("AlignedNorm.w_proj = 0.0",)),
    )
    found = cells(grid, datasets=["counts"])
    assert [(cell.method.name, cell.overrides) for cell in found] == [
        ("zeroshot", []),
        ("coop", []),
        ("alignednorm", []),
        ("alignednorm", ["AlignedNorm.w_token = 0.0"]),
        ("alignednorm", ["AlignedNorm.w_proj = 0.0"]),
    ]


def test_the_ablation_of_alignednorm_prints_its_layout(tmp_path: Path) -> None:
    """Rows as the paper's table has them; without both losses it is MMRL++, bit by bit."""
    grid = grids.load("ablation_alignednorm")
    few = {
        "datasets": ["counts"],
        "shots": 2,
        "seeds": [1],
        "limit": 20,
        "out": tmp_path,
        "quiet": True,
        "set": ["Recipe.epochs=2"],
    }
    requests, machine = edge.asked(grid, few)
    found = execute(requests, machine)
    plans, _ = plans_of(requests, machine)
    (table,) = assemble.of_records(found, titles=titles_of(plans))
    rows = [row.title for row in table.rows if row.paradigm == "coupled"]
    assert rows == ["MMRL++", "+ L_token", "+ L_proj", "+ both (AlignedNorm)"]
    assert any(note.startswith("MMRL++: AlignedNorm (") for note in table.notes)
    other = Grid(("mmrlpp",), ("base_to_new",), inference="unified")
    (network,) = execute(*edge.asked(other, few))[1:]
    learned = {record.training.parameters_sha256 for record in found[1:]}
    assert len(learned) == 4 and network.training.parameters_sha256 in learned
    without = next(r for r in found if "AlignedNorm.w_proj = 0.0" in r.overrides)
    assert [t.correct for t in without.targets] == [t.correct for t in network.targets]


def test_row_titles_find_their_settings_however_they_are_written() -> None:
    usual = ("Recipe.lr=3e-3", " CoOp.n_ctx=16")  # what the demo has anyway
    variants = (("Recipe.lr = 1e-3",), usual, ("Recipe.lr=0.005", "Recipe.crop_scale=(0.5,1)"))
    grid = Grid(("coop",), ("few_shot",), variants=variants, titles=("low", "usual", "high"))
    titles = titles_of(built(grid, datasets=["counts"], shots=1))
    own = {"coop": set(titles)}
    assert list(titles.values()) == ["low", "usual", "high"] and len(own["coop"]) == 3
    assert all(method == "coop" for method, _ in titles)


def test_variants_of_the_same_settings_are_a_row_under_all_of_their_titles() -> None:
    variants = (("Recipe.lr = 0.005",), ("Recipe.lr=5e-3",), ("Recipe.lr = 1e-3",))
    grid = Grid(("coop",), ("few_shot",), variants=variants, titles=("c", "d", "e"))
    titles = titles_of(built(grid, datasets=["counts"], shots=1))
    assert list(titles.values()) == ["c = d", "e"]


def test_titles_belong_to_the_methods_that_vary() -> None:
    def titles(methods: tuple[str, ...], *variants: tuple[str, ...]) -> list[tuple[str, str]]:
        grid = Grid(
            methods, ("base_to_new",), variants=variants, titles=("a", "b")[: len(variants)]
        )
        found = titles_of(built(grid, datasets=["counts"]))
        return [(method, title) for (method, _), title in found.items()]

    norm = ("AlignedNorm.w_token = 0.0",)
    both = ("coop", "alignednorm")
    assert titles(both, (), norm) == [("alignednorm", "a"), ("alignednorm", "b")]
    assert titles(("coop",), ("Recipe.epochs = 2",)) == [("coop", "a")]
    assert titles(("coop", "maple"), (), ("Recipe.lr = 0.5",)) == [
        ("coop", "CoOp: a"),
        ("coop", "CoOp: b"),
        ("maple", "MaPLe: a"),
        ("maple", "MaPLe: b"),
    ]


def test_as_many_titles_as_variants() -> None:
    with pytest.raises(UserError, match="2 entries for 1 variants"):
        Grid(("coop",), ("few_shot",), titles=("a", "b")).requests({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Grid.method = ('coop',)", r"line 1.*did you mean 'methods'"),
        ("Grid.methods = 'coop'", r"line 1.*does not fit"),
        ("Grid.methods = ('coop',)", "no protocol given"),
        ("Grid.protocols = ('few_shot',)", "no method given"),
        ("Grid.methods = ('cop',)\nGrid.protocols = ('all',)", "did you mean 'coop'"),
    ],
)
def test_mistakes_in_a_grid_are_told(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        grids.load(gin_file(tmp_path, text)).requests({})


def test_unknown_grids_are_told() -> None:
    with pytest.raises(UserError, match="did you mean 'settings'"):
        grids.load("setings")
    with pytest.raises(UserError, match="does not exist"):
        grids.load("nowhere.gin")


@pytest.mark.parametrize("name", grids.names())
def test_shipped_grids_can_be_planned(name: str) -> None:
    assert cells(grids.load(name))


def test_all_means_every_protocol() -> None:
    requests = Grid(("zeroshot",), ("all",)).requests({})
    assert [request.protocol for request in requests] == PROTOCOLS.names()


@pytest.mark.parametrize(
    ("one", "other"),
    [("base_to_new", "generalized_base_to_new"), ("cross_dataset", "domain_generalization")],
)
@pytest.mark.parametrize("preset", ["paper", "unified"])
def test_protocols_with_the_same_training_share_it(one: str, other: str, preset: str) -> None:
    trainings = [
        {cell.training_id for cell in cells(Grid(("alignednorm",), (name,)), preset=preset)}
        for name in (one, other)
    ]
    assert trainings[0] == trainings[1]


def test_the_epochs_of_a_cell_follow_its_shots_unless_the_user_says_otherwise() -> None:
    grid = Grid(("coop",), ("few_shot",))
    own = cells(grid, suite="demo", gin=(), datasets=["counts"], baseline=False)
    assert {cell.recipe["epochs"] for cell in own} == {40}  # the demo's overlay has one number
    family = cells(Grid(("mmrlpp",), ("few_shot",)), datasets=["counts"], baseline=False)
    by_shots = {cell.leg.source.shots: cell.recipe["epochs"] for cell in family}
    assert by_shots == {1: 30, 2: 30, 4: 20, 8: 20, 16: 12}
    (mine,) = cells(grid, shots=2, datasets=["counts"], baseline=False, set=["Recipe.epochs=3"])
    assert mine.recipe["epochs"] == 3 and mine.overrides == ["Recipe.epochs = 3"]


def test_decoupled_inference_is_refused_where_no_split_is_known() -> None:
    with pytest.raises(UserError, match="no split is known"):
        cells(Grid(("mmrlpp",), ("generalized_base_to_new",)), inference="decoupled")


def test_other_methods_seeds_and_data_sets_leave_a_cell_as_it_is() -> None:
    (alone,) = cells(Grid(("coop",), ("base_to_new",)), datasets=["counts"], baseline=False)
    company = cells(
        Grid(
            ("mmrlpp", "coop"),
            ("few_shot", "cross_dataset", "generalized_base_to_new", "base_to_new"),
            seeds=(3, 1),
            presets=("paper", "unified"),
        ),
        datasets=["counts", "fills"],
    )
    assert [cell.id for cell in company].count(alone.id) == 1
