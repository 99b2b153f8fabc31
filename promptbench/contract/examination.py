"""All points of the contract on a method, each on a draw of its own, under a spy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from promptbench.contract import checks, evaluation, needs, steady
from promptbench.contract.bench import Bench, Build
from promptbench.contract.spy import spying
from promptbench.contract.verdicts import Broken, CheckResult, point_of
from promptbench.contract.world import World
from promptbench.support.seeding import seeded

Check = Callable[[Bench], str]
CHECKS: tuple[Check, ...] = (
    checks.losses_are_finite,
    checks.gradients_reach_all_learnables_and_nothing_else,
    checks.gradients_that_it_makes_know_no_scale,
    checks.towers_stay_as_they_are,
    checks.logits_have_the_shape_of_the_class_list,
    evaluation.what_it_returns_is_plain,
    checks.logits_do_not_depend_on_the_other_samples,
    evaluation.logits_do_not_depend_on_the_stream_of_images,
    checks.logits_follow_the_order_of_the_classes,
    checks.logits_of_a_class_do_not_depend_on_the_other_classes,
    evaluation.logits_do_not_depend_on_what_was_asked_before,
    evaluation.evaluation_leaves_no_trace,
    evaluation.edits_leave_texts_alike_where_they_say_so,
    checks.class_texts_are_used_where_it_says_so,
    checks.rules_by_class_name_are_marked,
    checks.state_is_its_own_and_round_trips,
    checks.same_seed_gives_the_same_method,
    checks.scores_are_float32_whatever_the_precision,
    needs.it_reads_only_what_it_needs,
    steady.steps_are_alike_where_it_says_so,
)
SIGHT = "It looks at nothing but what it is given (stack, heap, threads, environment, files)."


def examine(build: Build, cls: type | None = None, seed: int = 0) -> list[CheckResult]:
    """All checks of a method, each on a bench of its own; one that breaks stops no other.

    Args:
        build: what makes a method of towers and classes; a class is that by itself.
        cls: the class that `build` makes, where it is not the class itself.
        seed: what class names, images, batches and CLIPs are drawn from.
    """
    own = cls or (build if isinstance(build, type) else type(_built(build, seed)))
    with one_thread(), spying(own) as watch:
        verdicts = [_verdict(check, build, seed) for check in CHECKS]
    seen = "; ".join(watch.found)
    verdicts.append(CheckResult(SIGHT, not seen, f"it looks at {seen}" if seen else "nothing seen"))
    return verdicts


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one CPU thread inside the block: towers as tiny as these lose by more."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def world_of(check: Check, seed: int) -> World:
    """The draw of a check."""
    return World.drawn(seed, check.__name__)


def _verdict(check: Check, build: Build, seed: int) -> CheckResult:
    point = point_of(check)
    try:
        with seeded(seed, "check"):  # logits that draw are found out, each time alike
            return CheckResult(point, True, check(Bench.of(build, world_of(check, seed))))
    except Exception as error:  # whatever a plugin raises is the finding
        where = "" if isinstance(error, Broken) else f"{type(error).__name__}: "
        return CheckResult(point, False, f"{where}{error}")


def _built(build: Build, seed: int) -> object:
    with seeded(seed, "check"):
        return Bench.of(build, World.drawn(seed, "class")).method
