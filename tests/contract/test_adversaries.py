"""Every attack of adversaries.py is found by the contract; in a run it is refused or sees nothing.

A run's functions are called here as `run_cell` calls them, with a secret in the frames above.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import promptbench
from promptbench.contract import CHECKS, OTHER, TRAIN, Bench, Check, World, tiny_towers, world_of
from promptbench.contract.examination import one_thread
from promptbench.contract.spy import spying
from promptbench.contract.towers import STANDARD
from promptbench.core.method import Method
from promptbench.core.traits import has_solver, sees_images
from promptbench.data.loader import Batch
from promptbench.errors import UserError
from promptbench.isolation import audit
from promptbench.isolation.audit import Refused
from promptbench.isolation.entering import enter, given, learnables, state_of
from promptbench.running.lab.calling import built, learning, losses_of
from promptbench.running.lab.compute import resolve
from promptbench.running.predicting import predict as predicting
from promptbench.running.predicting.predict import predict, rule_of
from promptbench.tracking import Listener
from tests.contract import adversaries
from tests.contract.adversaries import SECRET, Honest

NAMED = {check.__name__: check for check in CHECKS}
SHAPE, PLAIN = "logits_have_the_shape_of_the_class_list", "what_it_returns_is_plain"
LOSS, STATE = "losses_are_finite", "state_is_its_own_and_round_trips"
STREAM, TRACE = "logits_do_not_depend_on_the_stream_of_images", "evaluation_leaves_no_trace"
MARKED = "rules_by_class_name_are_marked"
GRADIENT = "gradients_reach_all_learnables_and_nothing_else"
STACK = "the call stack (sys._getframe)"

# attack -> the check that finds it, what it says, and what a run says (None: the run sees nothing
# to refuse, and neither does the attack).
ATTACKS = {
    adversaries.Eval: (SHAPE, STACK, STACK),
    adversaries.Train: (TRACE, STACK, STACK),
    adversaries.To: (SHAPE, STACK, STACK),
    adversaries.StateDict: (STATE, STACK, STACK),
    adversaries.LoadStateDict: (STATE, STACK, STACK),
    adversaries.Getter: (GRADIENT, "a frame (tb_frame)", "a frame (tb_frame)"),
    adversaries.Solve: (SHAPE, STACK, STACK),
    adversaries.Start: (SHAPE, STACK, STACK),
    adversaries.GrowingCache: (STREAM, "logits after other images, in another order", None),
    adversaries.Unmarked: (MARKED, "names that were trained on have logits of their own", None),
    adversaries.Noting: (TRACE, "self.classes.asked has changed", None),
    adversaries.Reseeder: (TRACE, "the place of the random streams has changed", None),
    adversaries.Forgetful: (STATE, "another gradient after a step", None),
    adversaries.Rememberer: (STATE, "another loss after a step", None),
    adversaries.Disguised: (PLAIN, "Seeing, not a plain tensor", "Seeing; only plain tensors"),
    adversaries.Counter: (TRACE, "Counter.asked (count) has changed", None),
    adversaries.Recogniser: (SHAPE, STACK, STACK),
    adversaries.Reader: (SHAPE, "the environment (PROMPTBENCH_DATA)", "file of data or results"),
    adversaries.RunningMean: (STREAM, "logits after other images, in another order", None),
    adversaries.Frames: (SHAPE, "the frames of all threads", "the frames of all threads"),
    adversaries.Heap: (SHAPE, "the heap (gc.get_objects)", "the heap (gc.get_objects)"),
    adversaries.Collected: (SHAPE, STACK, STACK),
    adversaries.Patcher: (SHAPE, "promptbench.running.predicting.predict._kept", None),
    adversaries.Compiler: (SHAPE, "code that it makes at run time", STACK),
    adversaries.Hook: (GRADIENT, STACK, STACK),
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(predicting, "_kept", predicting._kept)  # what the patch changes is put back
    monkeypatch.setattr(adversaries.Reader, "folders", [tmp_path])
    (tmp_path / "record.json").write_text(SECRET)
    Honest.loot.clear()
    with one_thread():
        yield


def findings(cls: type[Method], check: Check) -> str:
    """What a check of the contract says of a method, and the spy beside it."""
    said = []
    with spying(cls) as watch:
        try:
            check(Bench.of(cls, world_of(check, seed=3)))
        except Exception as error:
            said.append(str(error))
    return "; ".join([*said, *watch.found])


def run(cls: type[Method], target: str = SECRET) -> list[int]:
    """The steps of a cell of `target`, in the order and by the functions of a run."""
    compute = resolve("cpu", "fp32")
    world = World.standard()
    with audit.watched(cls):
        towers = tiny_towers(shape=replace(STANDARD, embed_dim=28))
        method: Any = enter(built, compute, cls, towers, TRAIN)
        if sees_images(cls):
            take = method.solve if has_solver(cls) else method.start_from
            enter(learning, compute, take, given(iter([(world.images, world.labels)])))
        enter(method.train)
        shown = (method, TRAIN, world.images, world.labels)
        _, total = enter(learning, compute, losses_of, *shown)
        enter(total.backward)
        enter(method.load_state_dict, state_of(method), strict=True)
        assert learnables(method)
        rule = rule_of(method, "unified", "classes")
        batch = Batch(world.images, world.labels, tuple("abcdef"))
        with Listener().task("predict", 6, "images") as task:
            return predict(method, OTHER, [batch, batch], rule, compute, task).predicted


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda cls: cls.__name__)
def test_the_contract_finds_the_attack(attack: type[Method]) -> None:
    check, says, _ = ATTACKS[attack]
    assert says in findings(attack, NAMED[check])


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda cls: cls.__name__)
def test_in_a_run_the_attack_sees_nothing(attack: type[Method]) -> None:
    refusal = ATTACKS[attack][2]
    if refusal is None:
        run(attack)
    else:
        with pytest.raises(UserError) as caught:
            run(attack)
        assert refusal in str(caught.value)
    assert SECRET not in Honest.loot
    assert SECRET.encode() not in Honest.loot


def test_a_rule_that_goes_by_the_texts_of_trained_classes_is_found() -> None:
    """It goes by no name, but is as selective."""
    said = findings(adversaries.KnownTexts, NAMED[MARKED])
    assert "names that were trained on have logits of their own" in said


def test_unwatched_the_attacks_would_see_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "watched", lambda cls: nullcontext())
    for attack in (adversaries.Eval, adversaries.To, adversaries.Getter, adversaries.Reader):
        Honest.loot.clear()
        run(attack)
        assert {SECRET, SECRET.encode()} & set(Honest.loot), attack


def test_the_honest_one_keeps_the_contract_and_runs() -> None:
    with spying(Honest) as watch:  # once, since putting the spy in its places takes longest
        for check in CHECKS:
            check(Bench.of(Honest, world_of(check, seed=3)))
    assert list(watch.found) == []
    assert len(run(Honest)) == 12


def test_calls_may_nest() -> None:
    with audit.watched(Honest):
        assert enter(lambda: enter(lambda: enter(int, "3"))) == 3


def test_a_refused_look_cannot_be_hidden() -> None:
    """The error of the look is swallowed by the method; the call ends in it all the same."""
    with audit.watched(adversaries.Eval) as watch, pytest.raises(Refused, match="call stack"):
        enter(enter(adversaries.Eval, tiny_towers(), TRAIN).eval)
    assert any("in walk (adversaries.py, line " in found for found in watch.found)


# --- the harness enters methods in one place ------------------------------------------------------

OVERRIDABLE = {
    *("prepare", "logits", "logits_decoupled", "losses", "total", "solve", "eval", "train", "to"),
    *("state_dict", "load_state_dict", "parameters", "named_parameters", "buffers", "modules"),
}
INSIDE = {"_forward", "_prepared", "_unified", "_decoupled", "_prepare", "_logits"}  # entered
NOT_METHODS = {  # owners of calls that go to something else
    "optimizer",
    "rule",  # of selection
    "detach()",  # a tensor that leaves the graph
    "scaler",
    "images",
    "labels",
    "v",
    "rows",
    "value",
    "tensor",
    "features(tokens)",
}
ROOMS = ("training", "predicting", "running", "observing")


def direct_calls(path: Path) -> Iterator[str]:
    """Calls of what a method may override, outside the functions that are entered."""
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef) or function.name in INSIDE:
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value).rpartition(".")[2].lstrip("_")
                if node.func.attr in OVERRIDABLE and owner not in NOT_METHODS:
                    yield f"{path.name}, line {node.lineno}: {ast.unparse(node.func)}"


def test_rooms_of_a_run_enter_methods_only_through_enter() -> None:
    root = Path(promptbench.__file__).parent
    found = [c for room in ROOMS for path in (root / room).glob("*.py") for c in direct_calls(path)]
    assert found == []


def test_what_a_solver_is_given_shows_no_source() -> None:
    batches = given(iter([1, 2]))
    assert next(batches) == 1
    assert batches.gi_yieldfrom is None  # type: ignore[attr-defined]
    assert list(batches) == [2]
