"""Metrics of whole label spaces and of probabilities, from a run of the demo to what users see."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import promptbench
from promptbench import records as store
from promptbench.core.pooling import learned_places, pooled_columns, pools
from promptbench.core.protocol import Column, Leg, Source, Target, score
from promptbench.records import scores, verify
from promptbench.records.predictions import DIGITS
from promptbench.report import outcomes
from promptbench.report.comparing import comparison
from promptbench.report.comparing.sides import select
from promptbench.running import cell
from promptbench.running.lab import Lab
from promptbench.running.predicting.feature_cache import FeatureCache
from promptbench.tracking import wandb_facts
from tests.calling import call
from tests.made_records import record

POOL = "counts/base+new-of-all"
PAPERS = ("--suite", "clip", "--protocol", "base_to_new", "--method", "coop")


@pytest.fixture(scope="module")
def out(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CoOp and zero-shot CLIP, one epoch, in the open label space of a demo dataset."""
    folder = tmp_path_factory.mktemp("open") / "runs"
    changed = ["Recipe.epochs=1", "Recipe.warmup_epochs=0"]
    promptbench.run(
        "coop",
        "generalized_base_to_new",
        datasets=["counts"],
        seeds=[1],
        shots=1,
        limit=60,
        set=changed,
        out=folder,
        quiet=True,
    )
    return folder


def of_method(out: Path, name: str) -> tuple[store.Record, Path]:
    (path,) = store.find([out / "demo" / "generalized_base_to_new" / name])
    return store.read(path), path.parent


def rows(text: str) -> dict[tuple[str, str, str], str]:
    return {
        (r["metric"], r["method"].split(" (")[0], r["column"]): r["mean"]
        for r in csv.DictReader(io.StringIO(text))
        if r["group"] == "counts"
    }


def test_a_record_says_which_names_were_learned(out: Path) -> None:
    record, folder = of_method(out, "coop")
    base, new = record.targets
    assert base.learned == new.learned == list(range(len(base.total) // 2))
    assert base.confusions is not None
    assert sum(base.confusions.values()) == sum(base.total) - sum(base.correct)
    table = verify.read_table(base, folder)
    assert set(table.columns) >= {"confidence", "rest", "log_loss", "rank", "mass", "own"}


def test_tables_have_one_column_for_both_halves(out: Path) -> None:
    asked = "accuracy,auroc_base_new,openworld_auc,overall_accuracy,ece"
    result = call("report", out, "--metric", asked, "--format", "csv")
    assert result.exit_code == 0, result.output
    found = rows(result.stdout)
    record, folder = of_method(out, "coop")
    answers = [verify.read_answers(target, folder) for target in record.targets]
    mass = np.concatenate([a.mass for a in answers])  # type: ignore[arg-type]
    is_base = np.repeat([True, False], [len(a.mass) for a in answers])  # type: ignore[arg-type]
    auroc = float(found["auroc_base_new", "CoOp", "base + new"])
    assert auroc == pytest.approx(100 * roc_auc_score(is_base, mass), abs=1e-6)
    right = sum(sum(t.correct) for t in record.targets)
    overall = float(found["overall_accuracy", "CoOp", "base + new"])
    assert overall == pytest.approx(100 * right / len(mass))
    assert 0 < float(found["openworld_auc", "CoOp", "base + new"]) < auroc
    assert {column for metric, _, column in found if metric == "auroc_base_new"} == {"base + new"}
    assert {column for metric, _, column in found if metric == "ece"} == {"base", "new"}


def test_a_comparison_and_the_tracker_have_the_pair(out: Path) -> None:
    sides = [list(select(name, [out]).values()) for name in ("coop", "zeroshot")]
    for name in ("auroc_base_new", "ece"):
        metric = scores.load(name)
        (found,) = comparison.compare(*sides, scores.folders([out]), metric)
        first = found.differences[0]
        assert not isinstance(first.images, str)
        assert first.images[0] <= first.difference.mean <= first.images[1] or name == "ece"
    record, folder = of_method(out, "coop")
    summary = wandb_facts.summary(record, folder)
    assert summary[f"auroc_base_new/{POOL}"] == summary["score/auroc_base_new/base + new"]
    assert summary["nll/counts/base-of-all"] > 0 and "nll/counts/new-of-all" in summary
    with pytest.warns(UserWarning, match="without predictions beside the record: AUROC, Brier"):
        wandb_facts.summary(record, folder / "nowhere")


def test_every_metric_is_in_every_format(out: Path) -> None:
    asked = ",".join(metric.name for metric in scores.registered())
    for form in ("rich", "markdown", "latex", "csv", "json", "html"):
        result = call("report", out, "--metric", asked, "--format", form)
        assert result.exit_code == 0, result.output
        assert "OpenworldAUC" in result.stdout or form == "csv", form


def test_all_metrics_are_those_that_records_have_values_of(out: Path, tmp_path: Path) -> None:
    """Of few classes there is no top-5 accuracy."""
    named = ",".join(metric.name for metric in scores.registered() if metric.name != "top5")
    for command in (["report", out, "--format", "markdown"], ["compare", "coop", "zeroshot"]):
        more = ["--runs", out] if command[0] == "compare" else []
        every = call(*command, *more, "--metric", "all")
        assert every.exit_code == 0, every.output
        assert every.stdout == call(*command, *more, "--metric", named).stdout
        assert "no record has a value of top-5 accuracy: left out of all metrics" in every.stderr
        assert call(*command, *more, "--metric", "ece,all").exit_code == 0
    store.write(record(1, method="coop"), tmp_path / "record.json")  # of schema 1, no predictions
    old = call("report", tmp_path, "--metric", "all", "--format", "markdown")
    assert old.exit_code == 0, old.output
    assert "no record has a value of AUROC" in old.stderr and "accuracy" in old.stdout
    assert "ECE" not in old.stdout and "per-class" in old.stdout
    papers = call("report", tmp_path / "none", "--metric", "all", *PAPERS)
    assert papers.stdout == call("report", tmp_path / "none", *PAPERS).stdout != ""


def test_without_an_open_label_space_there_is_a_dash_and_a_reason(tmp_path: Path) -> None:
    """Of schema 1 nothing is known of probabilities, and its targets compete among themselves."""
    store.write(record(1, method="coop"), tmp_path / "record.json")
    old = call("report", tmp_path, "--metric", "ece", "--format", "markdown")
    assert old.exit_code == 0, old.output
    assert (
        "—: ECE needs probabilities; records of schema 1 are accuracy only, as those of 3 targets: "
        "coop on imagenet/all, seed 1, ..."
    ) in old.stdout
    closed = call("report", tmp_path, "--metric", "overall_accuracy", "--format", "markdown")
    assert closed.exit_code == 0, closed.output
    assert "—: overall accuracy is not defined for 3 targets" in closed.stdout


def test_a_column_without_values_is_not_called_incomplete(out: Path) -> None:
    """No harmonic mean of ECE is defined; nothing else is lacking."""
    told = call("report", out, "--metric", "ece", "--format", "markdown").stdout
    assert "no HM: no harmonic mean of ECE is defined" in told
    assert "not run, or incomplete" not in told


def test_where_a_metric_is_not_defined_no_images_are_drawn() -> None:
    old = record(1, method="coop")
    for name, keys in (("overall_accuracy", 0), ("accuracy", 3)):
        found = outcomes.paired([old], [old], ["A", "B"], {}, scores.load(name))
        assert len(found) == keys, name


def test_schema_1_has_what_its_counts_give(out: Path) -> None:
    """The same record without probabilities: overall accuracy is there, AUROC is not."""
    record, folder = of_method(out, "coop")
    plain = record.model_dump(mode="json") | {"schema_version": store.LABELS_ONLY}
    for target in plain["targets"]:
        target["learned"] = target["confusions"] = None
    old = store.Record.model_validate(plain)
    places = scores.folders_of([(record, folder)])
    for name, values, reason in (
        ("overall_accuracy", 1, "undefined"),
        ("auroc_base_new", 0, "labels_only"),
        ("nll", 0, "labels_only"),
    ):
        found = scores.Scorer(scores.load(name), places).score(old)
        assert len(found.values) == values and bool(getattr(found, reason)) == (not values), name


@pytest.mark.parametrize(("workers", "batch"), [(1, 100), (4, 1), (2, 7), (2, 256)])
def test_on_a_cpu_predictions_depend_on_neither_workers_nor_batches(
    workers: int, batch: int, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch's size is not a setting: only a GPU's memory makes it smaller."""
    monkeypatch.setattr(FeatureCache, "get", lambda *_: None)  # what was computed before
    scored = cell.score

    def smaller(own: Any, lab: Any, *rest: Any) -> Any:
        return scored(own, replace(lab, eval_batch=batch), *rest)

    monkeypatch.setattr(cell, "score", smaller)
    options: dict[str, Any] = {"datasets": ["counts"], "seeds": [1], "shots": 1, "limit": 60}
    (again,) = promptbench.run(
        "zeroshot",
        "generalized_base_to_new",
        workers=workers,
        out=tmp_path,
        quiet=True,
        **options,
    )
    first, folder = of_method(out, "zeroshot")
    assert again.numbers() == first.numbers()
    (path,) = store.find([tmp_path])
    for a, b in zip(first.targets, again.targets, strict=True):
        then, now = (folder / a.predictions, path.parent / b.predictions)
        assert then.read_bytes() == now.read_bytes()


@pytest.mark.parametrize("size", [1, 7, 32])
def test_smaller_batches_change_no_label_and_hardly_a_digit(
    size: int, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a GPU whose memory does not suffice."""
    monkeypatch.setattr(FeatureCache, "get", lambda *_: None)
    monkeypatch.setattr(Lab, "images_at_once", size)
    options: dict[str, Any] = {"datasets": ["counts"], "seeds": [1], "shots": 1, "limit": 60}
    (again,) = promptbench.run(
        "zeroshot", "generalized_base_to_new", out=tmp_path, quiet=True, **options
    )
    first, folder = of_method(out, "zeroshot")
    (path,) = store.find([tmp_path])
    for a, b in zip(first.targets, again.targets, strict=True):
        then, now = verify.read_table(a, folder), verify.read_table(b, path.parent)
        assert then.rows() == now.rows() and a.confusions == b.confusions
        for name, digits in DIGITS.items():
            apart = np.abs(then.columns[name] - now.columns[name])
            assert apart.max() < 1.01 * 10.0**-digits or (name == "mass" and apart.max() < 1e-5)


# --- which targets share a label space ------------------------------------------------------------


def target(classes: str, names: str | None = None, **labels: Any) -> Target:
    return Target("dtd", classes, "none", names=names, **labels)


def test_learned_places_are_counted_among_those_that_compete() -> None:
    source = Source("dtd", "base", 16)
    assert learned_places(source, target("new", "all"), 5) == [0, 1, 2]
    assert learned_places(source, target("all"), 4) == [0, 1]
    for closed in (target("base"), target("new")):
        assert learned_places(source, closed, 5) is None
    assert learned_places(source, Target("eurosat", "all", "none"), 5) is None
    assert learned_places(Source("dtd", "all", 16), target("all"), 5) is None
    odd = Source("dtd", "odd", 16, labels=(1, 3))
    some = target("late", "late", labels=(2, 3, 4), competing=(2, 3, 4))
    assert learned_places(odd, some, 5) == [1]


def test_pools_hold_disjoint_images_over_the_same_names() -> None:
    source = Source("dtd", "base", 16)

    def keys(*targets: Target) -> list[str]:
        return [pool.key for pool in pools(Leg(source, targets))]

    assert keys(target("base"), target("new")) == []
    assert keys(target("base", "all"), target("new", "all")) == ["dtd/base+new-of-all"]
    assert keys(target("all")) == ["dtd/all"]
    assert keys(target("all"), target("base", "all"), target("new", "all")) == [
        "dtd/all",
        "dtd/base+new-of-all",
    ]
    other = Target("dtd", "new", "none", split="val", names="all")
    assert keys(target("base", "all"), other) == ["dtd/base-of-all", "dtd/new-of-all"]


def test_the_mean_of_label_spaces_stands_where_the_protocol_has_its_own() -> None:
    legs = [
        Leg(Source(n, "base", 16), (Target(n, "base", "none", names="all"),)) for n in ("a", "b")
    ]
    own = [Column(g.source.dataset, "base", score(g.source, g.targets[0]), 16) for g in legs]
    both = Column("Average", "base", lambda _: None, 16, None, tuple(own))
    *single, mean = pooled_columns([*own, both], legs)
    assert [(c.group, c.title) for c in single] == [("a", "base"), ("b", "base")]
    assert (mean.group, mean.title, mean.members) == ("Average", "mean", tuple(single))
    values = {("a/base", 16, "a/base-of-all"): 60.0, ("b/base", 16, "b/base-of-all"): 80.0}
    assert mean.value(values) == 70.0 and mean.value({("a/base", 16, "a/base-of-all"): 1.0}) is None
    closed = [Leg(Source("a", "base", 16), (Target("a", "base", "none"),))]
    assert pooled_columns(own, closed) == own
