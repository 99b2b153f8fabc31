"""Settings of a suite's backbone that a search has chosen: what lies beside them holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptbench import spaces
from promptbench.config import parsing, suites
from promptbench.core.registry import BUILT_IN, METHODS, PROTOCOLS
from promptbench.errors import UserError
from promptbench.leaderboard.checking import known
from promptbench.planning import plan
from promptbench.planning.request import Request
from promptbench.planning.settings import load_protocol
from promptbench.records.tuning import ENGINE, digest
from promptbench.spaces import kept
from promptbench.spaces.kept import KeptSearch, KeptTrial

DEMO = suites.load("demo")
assert DEMO.overlay_folder is not None
SEARCHED = [
    path.name.removesuffix(suites.SEARCH)
    for path in sorted(DEMO.overlay_folder.glob(f"*{suites.SEARCH}"))
]


def search(*means: float | None, chosen: int, lr: float = 0.01) -> KeptSearch:
    """A search with these accuracies on one source; trial n has n times the learning rate."""
    space = {"Recipe.lr": {"log-uniform": [1e-4, 1.0]}}
    return KeptSearch(
        budget=len(means),
        rule=kept.RULE,
        engine=ENGINE,
        seeds=[1],
        space=space,
        space_sha256=digest(space),
        chosen=chosen,
        trials=[
            KeptTrial(values={"Recipe.lr": n * lr}, validation={"a": mean, "b": mean}, cells=[])
            for n, mean in enumerate(means, 1)
        ],
    )


def test_the_demo_has_settings_by_search() -> None:
    assert SEARCHED


@pytest.mark.parametrize("name", SEARCHED)
def test_what_was_searched_is_what_a_search_would_try_today(name: str) -> None:
    """The method's space, its trials behind the setting by hand, all sources of the protocol."""
    method = METHODS.load(name)
    space = spaces.load(method)
    for protocol, found in kept.read(DEMO, name).items():
        assert (found.rule, found.engine) == (kept.RULE, ENGINE)
        assert found.space == _plain(space.as_data())
        own, *drawn = [trial.values for trial in found.trials]
        assert drawn == _plain(spaces.drawn(space, name, found.budget - 1))
        legs = known.legs(protocol, DEMO.name, DEMO.shots)
        assert list(found.trials[0].validation) == list(
            dict.fromkeys(f"{leg.source.key}/{leg.source.shots}" for leg in legs)
        )
        (by_hand,) = {
            json.dumps(
                known.shipped_settings(name, protocol, DEMO.backbone, "unified", leg, by_hand=True),
                default=str,
            )
            for leg in legs
        }
        flat = {f"{c}.{k}": v for c, own in json.loads(by_hand).items() for k, v in own.items()}
        assert own == {key: flat[key] for key in own}


@pytest.mark.parametrize("name", SEARCHED)
def test_the_settings_follow_from_the_search(name: str) -> None:
    """Nobody has changed them by hand."""
    path = DEMO.overlay_file(name, suites.SEARCHED)
    assert path is not None
    assert path.read_text() == kept.gin_text(name, DEMO.backbone, kept.read(DEMO, name))
    assert len(parsing.read(path)) == sum(
        len(found.values) for found in kept.read(DEMO, name).values()
    )


@pytest.mark.parametrize(
    "protocol", [name for name in PROTOCOLS.names() if PROTOCOLS.load(name).cls.trains_as is None]
)
def test_every_method_that_can_be_tuned_has_been_searched(protocol: str) -> None:
    """The demo's tables compare methods of equal budgets: a new one is searched as the others."""
    made = plan.build(Request("all", protocol, suite=DEMO.name, seeds=(1,)), "fp32")
    fit = {m.name: m for cell in made.cells if (m := cell.method).provider == BUILT_IN}
    tunable = {name for name, method in fit.items() if not spaces.load(method).untuned}
    assert tunable == {name for name in SEARCHED if protocol in kept.read(DEMO, name)}


def test_every_search_of_a_protocol_has_the_same_budget() -> None:
    spent: dict[str, set[Any]] = {}
    for name in SEARCHED:
        for protocol, found in kept.read(DEMO, name).items():
            spent.setdefault(protocol, set()).add((found.budget, tuple(found.seeds)))
    assert all(len(own) == 1 for own in spent.values()), spent


def test_a_protocol_that_trains_as_another_has_no_search_of_its_own() -> None:
    for name in SEARCHED:
        for protocol in kept.read(DEMO, name):
            plugin = METHODS.load(name)
            known_names = known._names(protocol, plugin.name)
            assert load_protocol(protocol, DEMO.name, known_names).trains_as is None


def test_the_best_mean_over_sources_is_chosen_the_earliest_of_equals() -> None:
    assert search(50.0, 60.0, 60.0, None, chosen=2).problem() is None
    uneven = search(50.0, 60.0, chosen=2)
    first, second = uneven.trials
    lost = second.model_copy(update={"validation": {"a": 100.0, "b": None}})
    assert lost.mean is None
    assert uneven.model_copy(update={"trials": [first, lost]}).problem() is not None
    fine = {"trials": [first, lost], "chosen": 1}
    assert uneven.model_copy(update=fine).problem() is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chosen": 1}, "trial 1 is not the one with the highest mean"),
        ({"chosen": 3}, "trial 3 is not the one"),
        ({"budget": 4}, "a search of 4 trials lists 3"),
        ({"space": {}}, "the hash of the search space"),
    ],
)
def test_a_choice_that_does_not_follow_is_refused(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    wrong = search(50.0, 60.0, 60.0, chosen=2).model_copy(update=changes)
    kept.write(tmp_path, "coop", "tiny", {"base_to_new": wrong})
    with pytest.raises(UserError, match=f"coop.search.json, base_to_new: .*{said}"):
        kept.read_file(tmp_path / "coop.search.json")


def test_a_file_that_is_none_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "coop.search.json"
    path.write_text('{"base_to_new": {"budget": "many"}}')
    with pytest.raises(UserError, match=r"^coop\.search\.json: base_to_new"):
        kept.read_file(path)


def test_chosen_values_are_bound_within_their_protocol_and_those_by_hand_are_not(
    tmp_path: Path,
) -> None:
    found = {"few_shot": search(9.0, 5.0, chosen=1), "base_to_new": search(5.0, 9.0, chosen=2)}
    kept.write(tmp_path, "coop", "tiny", found)
    bound = parsing.read(tmp_path / "coop.searched.gin")
    assert [(b.scope, b.cls, b.parameter, b.value) for b in bound] == [
        ("base_to_new", "Recipe", "lr", 0.02)
    ]
    assert kept.read_file(tmp_path / "coop.search.json") == found
    text = (tmp_path / "coop.searched.gin").read_text()
    assert "# few_shot: trial 1, the setting by hand, of 2, seed 1\n# on a, b\n" in text


def _plain(data: Any) -> Any:
    return json.loads(json.dumps(data))
