"""Protocols with class sets of their own, each one file from outside: from a run to the board."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import promptbench
from promptbench import mixing, records
from promptbench.core.registry import PROTOCOLS
from promptbench.leaderboard.checking import checks, known, shard_checks
from promptbench.planning.settings import load_protocol
from promptbench.records import Record
from promptbench.records.verify import recompute
from promptbench.report import assemble, gather
from promptbench.report.format import render
from promptbench.report.table import Table
from promptbench.tracking import facts, wandb_facts
from tests.made_records import confuse
from tests.protocols.test_class_sets import PLUGINS

TITLES = {
    "thirds": ["counts first", "counts second", "counts third", "counts mean"],
    "open_set": ["counts known", "counts unknown", "counts H"],
    "increments": [
        "counts seen1",
        "counts step1 at seen1",
        "counts seen2",
        "counts step1 at seen2",
        "counts step2 at seen2",
        "Average seen",
    ],
}
OPTIONS: dict[str, Any] = {
    "datasets": ["counts"],
    "seeds": [1],
    "limit": 20,
    "set": ["Recipe.epochs=1"],
    "quiet": True,
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of zero-shot CLIP and CoOp under each of the protocols."""
    folder = tmp_path_factory.mktemp("runs")
    for name in TITLES:
        plugin = [PLUGINS / f"{name}.py"]
        promptbench.run("coop", name, plugin=plugin, out=folder / name, **OPTIONS)
        PROTOCOLS._files.clear()
    return folder


@pytest.fixture(params=TITLES)
def name(request: pytest.FixtureRequest) -> str:
    """A protocol that is known by its file."""
    found = str(request.param)
    PROTOCOLS.add_file(PLUGINS / f"{found}.py")
    known.forget()
    return found


def found(out: Path, name: str) -> list[tuple[Path, Record]]:
    return [(path.parent, records.read(path)) for path in records.find([out / name])]


def tabulated(out: Path, name: str) -> Table:
    read = gather.read([out / name])
    assert not read.unread and not read.unchecked
    (table,) = assemble.of_records(read.records)
    return table


@pytest.mark.parametrize("plugin", TITLES)
def test_a_plugin_is_one_short_file(plugin: str) -> None:
    text = (PLUGINS / f"{plugin}.py").read_text()
    assert len(text.splitlines()) <= 60
    assert {line.split()[1] for line in text.splitlines() if line.startswith("from prom")} == {
        "promptbench.api"
    }


def test_its_table_has_its_columns(out: Path, name: str) -> None:
    table = tabulated(out, name)
    assert [f"{h.group} {h.title}" for h in table.headings] == TITLES[name]
    assert [row.n for row in table.rows] == [1, 1]  # zero-shot and CoOp, of all legs
    assert all(entry is not None for row in table.rows for entry in row.entries)
    rows = list(csv.DictReader(io.StringIO(render("csv", [table]))))
    assert [f"{r['group']} {r['column']}" for r in rows[: len(TITLES[name])]] == TITLES[name]


def test_records_hold_their_class_sets_and_agree_with_protocol_and_shards(
    out: Path, name: str
) -> None:
    for folder, record in found(out, name):
        recompute(record, folder)
        assert list(checks.contradictions(record)) == []
        assert list(checks.few_shots(record)) == []
        assert record.data["counts"].class_sets
        assert checks.usual_leg(record) is not None  # its gin file, beside it, names counts
        assert record.leg == checks.usual_leg(record)
        prepared = shard_checks.at_hand(record, None)
        assert prepared.keys() == {"counts"}
        assert list(shard_checks.reasons(record, {}, prepared)) == []  # the few-shot subset, too


@pytest.mark.parametrize("plugin", TITLES)
def test_without_the_plugin_labels_are_still_compared_with_the_card(plugin: str, out: Path) -> None:
    assert plugin not in PROTOCOLS.names()
    known.forget()
    for folder, record in found(out, plugin):
        recompute(record, folder)
        assert list(checks.contradictions(record)) == []
        if plugin == "thirds":
            (reason, *_) = checks.contradictions(changed(record, {}, replace={1: 7, 3: 8}))
            assert reason.endswith("its class sets hold labels that its card has not")
    unread = gather.read([out / plugin]).unread
    assert f"unknown protocol {plugin!r}" in unread[0]
    assert unread[0].endswith("(name its file with --plugin)")


def changed(record: Record, sets: dict[str, list[int]], replace: dict[int, int]) -> Record:
    """The record with other labels in its class sets."""
    plain = record.model_dump(mode="json")
    own = plain["data"]["counts"]["class_sets"]
    moved = {name: [replace.get(x, x) for x in labels] for name, labels in own.items()}
    plain["data"]["counts"]["class_sets"] = moved | sets
    return Record.model_validate(plain)


@pytest.mark.parametrize("name", ["thirds"], indirect=True)
def test_other_labels_than_the_protocols_are_refused_and_make_another_row(
    out: Path, name: str
) -> None:
    record = found(out, name)[0][1]
    assert record.data["counts"].class_sets == {"first": [0, 1], "second": [2], "third": [3]}
    other = changed(record, {"second": [3]}, {})
    said = "the class set second of counts has other labels than that of thirds"
    assert said in list(checks.contradictions(other))
    assert said not in list(checks.contradictions(record))
    assert len(mixing.rows([record, other])) == 2
    assert mixing.clash([record], [other]) == ["class set of counts second: [2] (A), [3] (B)"]


@pytest.mark.parametrize(
    ("sets", "reason"),
    [
        (None, "does not hold the labels of the class set first of counts"),
        ({"first": [0, 1], "second": [2]}, "the labels of the class set third of counts"),
        ({"first": [1, 0]}, "the class set first of counts: a label is there twice or out of ord"),
        ({"first": []}, "the class set first of counts: it holds no class"),
        ({"first": [0]}, "counts/first: counts of 2 classes; 1 compete"),
        ({"other": [0]}, "the class set other of counts: nothing uses it"),
        ({"base": [0, 1]}, "the class set base of counts: it means the same everywhere"),
        ({"First": [0]}, "should match pattern"),
    ],
)
def test_a_record_that_contradicts_its_class_sets_is_not_read(
    sets: dict[str, list[int]] | None, reason: str, out: Path
) -> None:
    plain = found(out, "thirds")[0][1].model_dump(mode="json")
    own = plain["data"]["counts"]["class_sets"]
    whole = sets is None or len(sets) > 1
    plain["data"]["counts"]["class_sets"] = sets if whole else own | sets
    with pytest.raises(ValidationError, match=reason):
        Record.model_validate(plain)


def test_images_of_another_class_set_cannot_be_counted(out: Path) -> None:
    plain = found(out, "open_set")[0][1].model_dump(mode="json")
    target = plain["targets"][0]
    target["total"][1] = 1  # of a class that was not learned, among the images of those that were
    confuse(target)
    with pytest.raises(ValidationError, match="known-of-all: it counts images of other than its"):
        Record.model_validate(plain)


def test_classes_and_names_reach_the_tracker(out: Path, name: str) -> None:
    protocol = load_protocol(name, "demo", known._names(name, None))
    assert {*protocol.class_sets()} >= {
        used for _, record in found(out, name) for used in record.data["counts"].class_sets or {}
    }
    record = found(out, name)[0][1]
    held = facts.of_record(record)
    assert held.config["class_sets"] == {
        "counts": {k: list(v) for k, v in record.leg.class_sets["counts"].items()}
    }
    names = [row[2] for row in wandb_facts.per_class(record)]
    assert set(names) <= set(known.card("counts").classes)
    scores = [key for key in wandb_facts.summary(record) if key.startswith("score/")]
    assert scores and not [key for key in scores if "/base" in key or "/new" in key]
