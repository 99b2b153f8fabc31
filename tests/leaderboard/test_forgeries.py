"""Forged submissions, tried as a maintainer would: none of them changes what stands."""

from __future__ import annotations

import filecmp
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptbench import records
from promptbench.leaderboard.accepting import standing
from promptbench.leaderboard.boards import building
from promptbench.leaderboard.checking import places
from promptbench.leaderboard.checking.verdicts import Verdict
from tests.calling import call
from tests.leaderboard import forging
from tests.leaderboard.forging import Facts, forge, predict, update

Change = Callable[[Facts, Path], Any]


@pytest.fixture
def accepted(
    accepted_results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A board on which MaPLe's demo row stands, where no dataset is prepared."""
    folder = tmp_path / "accepted"
    shutil.copytree(
        accepted_results / "demo" / "base_to_new" / "maple",
        folder / "demo" / "base_to_new" / "maple",
    )
    monkeypatch.setattr(places, "results", lambda: folder)
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(tmp_path / "nothing"))
    return folder


def original(accepted: Path, dataset: str = "shapes", seed: int = 1) -> Path:
    (folder,) = (accepted / "demo" / "base_to_new" / "maple").glob(f"{dataset}-16shot-seed{seed}-*")
    return folder / "record.json"


@pytest.fixture
def other(accepted_results: Path) -> Path:
    """An honest record whose row does not stand yet, to be changed."""
    (folder,) = (accepted_results / "demo" / "base_to_new" / "coop").glob("shapes-16shot-seed1-*")
    return folder / "record.json"


def left_out(target: int) -> Change:
    return lambda facts, _: facts["targets"].pop(target)


def one_more(**changes: Any) -> Change:
    """The last target again, with changes and a file of its own."""

    def change(facts: Facts, folder: Path) -> None:
        last = facts["targets"][-1]
        shutil.copyfile(folder / last["predictions"], folder / "predictions" / "more.csv.gz")
        facts["targets"].append(last | {"predictions": "predictions/more.csv.gz"} | changes)

    return change


def twice(facts: Facts, _: Path) -> None:
    facts["targets"].append(facts["targets"][0])


def reversed_shots(facts: Facts, _: Path) -> None:
    facts["source"]["keys"].reverse()


AGAINST_A_ROW: list[tuple[str, tuple[Change, ...], str]] = [
    ("another seed", (update(seed=4),), "has the same learned parameters"),
    (
        "another seed, rows in another order",
        (update(seed=4), predict(forging.shuffled)),
        "has the same learned parameters",
    ),
    (
        "another seed, parameters saved again",
        (update(seed=4), update("training", parameters_sha256="1" * 64)),
        "has the same counts of every class",
    ),
    ("all new but the mistakes", forging.everything_new(4), "same counts of every class"),
    (
        "all new, rows in another order",
        (*forging.everything_new(4), predict(forging.shuffled)),
        "same counts of every class",
    ),
    (
        "all new, an image flipped",
        (*forging.everything_new(4), predict(forging.one_flipped, 0)),
        "same predictions, but for a few images",
    ),
    (
        "all new, an image flipped, other keys",
        (*forging.everything_new(4), predict(forging.one_flipped), predict(forging.renamed)),
        "same predictions, but for a few images",
    ),
    (
        "the losses kept",
        (*forging.everything_new(4)[:2], predict(forging.all_wrong)),
        "has the same losses",
    ),
    (
        "the shots kept, in another order",
        (*forging.everything_new(4), predict(forging.all_wrong), reversed_shots),
        "would join a row that stands, which only verified records can",
    ),
    ("wrong predictions dropped", (predict(forging.without_mistakes),), "test split has 1800"),
    ("one image per class", (predict(forging.one_per_class),), "test split has 1800"),
    (
        "base mistakes for new hits",
        (predict(forging.shortened(9), 0), predict(forging.padded(9), 1)),
        "the test images of shapes/base is not as in",
    ),
    (
        "base images among the new ones",
        (predict(forging.shortened(900), 1), predict(lambda rows: rows, 0)),
        "test split has 1800",
    ),
    ("labels changed", (predict(forging.relabelled),), "have different numbers"),
    (
        "labels changed, another seed",
        (*forging.everything_new(4), predict(forging.all_wrong), predict(forging.relabelled)),
        "would join a row that stands",
    ),
    ("a target left out", (left_out(1),), "shapes/new is missing"),
    ("the first target left out", (left_out(0),), "shapes/base is missing"),
    ("all targets left out", (lambda f, _: f["targets"].clear(),), "it has no target"),
    ("a target twice", (twice,), "occurs more than once"),
    ("a target twice, in two files", (one_more(),), "occurs more than once"),
    ("a target added", (one_more(names="all"),), "is not a target of"),
    ("a target of another dataset", (one_more(dataset="shapes_neon"),), "is not a target of"),
    (
        "the row rewritten",
        (left_out(1), predict(forging.all_wrong), update(created="2999-01-01T00:00:00+00:00")),
        "shapes/new is missing",
    ),
    (
        "the row rewritten, nothing left out",
        (predict(forging.all_wrong), update(created="2999-01-01T00:00:00+00:00")),
        "what stands counts until a person removes it",
    ),
    (
        "a fabricated seed",
        (*forging.everything_new(4), predict(forging.all_wrong)),
        "would join a row that stands, which only verified records can",
    ),
    ("other shots of the seed", (reversed_shots,), "few-shot images of seed 1 is not as in"),
    (
        "learned numbers",
        (update("method", learned_parameters=58465),),
        "these settings make 58464",
    ),
]


def stored(**values: Any) -> Change:
    return lambda facts, _: facts["data"]["shapes"].update(values)


AGAINST_A_ROW += [
    ("a precision", (update("environment", precision="fp16"),), "has the same learned parameters"),
    (
        "a checkpoint",
        (update("backbone", weights="w", sha256="1" * 64),),
        "same learned parameters",
    ),
    ("an image size", (update("backbone", image_size=448),), "the backbone's image size is not as"),
    ("other shards", (stored(shards_sha256="0" * 64),), "has the same learned parameters"),
    ("smaller images", (stored(resize_short=300),), "the size of shapes is not as in"),
]


@pytest.mark.parametrize(
    ("changes", "reason"), [c[1:] for c in AGAINST_A_ROW], ids=[c[0] for c in AGAINST_A_ROW]
)
def test_no_forgery_touches_a_row_that_stands(
    accepted: Path, tmp_path: Path, changes: tuple[Change, ...], reason: str
) -> None:
    path = forge(original(accepted), tmp_path / "forged", *changes)
    found = call("leaderboard", "verify", path.parent)
    assert found.exit_code == 1, found.output
    assert reason in found.stdout and found.stdout.startswith("refused")
    sent = call("leaderboard", "submit", path.parent, "--out", tmp_path / "pr")
    assert sent.exit_code == 1 and not (tmp_path / "pr").exists()
    counted = building.accepted(standing.judge_with_accepted([path]), lambda _: None)
    assert [v.path for v in counted] == records.find([accepted])


def test_the_site_is_byte_for_byte_as_before(accepted: Path, other: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    assert call("leaderboard", "build", "--out", before).exit_code == 0
    for number, (_, changes, _) in enumerate(AGAINST_A_ROW):
        forge(original(accepted), tmp_path / "forged" / str(number), *changes)
    for number, (_, changes, _) in enumerate(OF_A_NEW_ROW):
        forge(other, tmp_path / "forged" / f"new-{number}", *changes)
    built = call("leaderboard", "build", tmp_path / "forged", "--out", after)
    assert built.exit_code == 0, built.output
    (count,) = re.findall(r"left out: (\d+) records ", built.stderr)
    assert int(count) == len(AGAINST_A_ROW) + len(OF_A_NEW_ROW)
    listed = (tmp_path / "after-left-out.txt").read_text().splitlines()
    assert sum(line.startswith("    ") for line in listed) == int(count)
    files = [file.relative_to(before) for file in before.rglob("*") if file.is_file()]
    assert files and len(files) == sum(file.is_file() for file in after.rglob("*"))
    assert filecmp.cmpfiles(before, after, files, shallow=False)[1:] == ([], [])


def theirs(title: str, name: str = "theirs", provider: str = "their-pkg 1.0, file 0123456789ab"):
    return update("method", title=title, name=name, provider=provider)


def config_of(old: str, new: str) -> Change:
    def change(facts: Facts, _: Path) -> None:
        assert old in facts["config"]
        facts["config"] = facts["config"].replace(old, new)

    return change


OF_A_NEW_ROW: list[tuple[str, tuple[Change, ...], str]] = [
    ("negative seed", (update(seed=-1),), "seed: Input should be greater"),
    ("huge seed", (update(seed=10**250),), "is too large"),
    ("boolean seed", (update(seed=True),), "seed: Input should be a valid integer"),
    ("fractional seed", (update(seed=1.0),), "seed: Input should be a valid integer"),
    ("negative shots", (update("source", shots=-16),), "shots: Input should be greater"),
    ("boolean shots", (update("source", shots=True),), "shots: Input should be a valid integer"),
    ("fewer shots than images", (update("source", shots=8),), "few-shot images; 8 per class are"),
    ("no images", (update("source", keys=[]),), "0 few-shot images"),
    ("the future", (update(created="2999-01-01T00:00:00+00:00"),), "created in the future"),
    ("no date", (update(created="yesterday"),), "is not a date and time"),
    ("no time zone", (update(created="2026-01-01T00:00:00"),), "is not a date and time"),
    ("revision", (update("environment", git_revision="mine"),), "is not a git revision"),
    ("version", (update("environment", promptbench="best"),), "is not a version"),
    ("precision", (update("environment", precision="fp32 "),), "is not one of fp32"),
    ("steps", (update("training", steps=7),), "make 40 epochs and 360 steps"),
    ("epochs", (update("training", epochs=41),), "make 40 epochs and 360 steps"),
    ("losses", (update("training", losses=[]),), "losses of 0 epochs"),
    ("nothing learned", (update("training", parameters_sha256=None),), "without a hash of them"),
    ("learned numbers", (update("method", learned_parameters=1),), "these settings make 1024"),
    ("extra data", (update("method", extra_data="ImageNet"),), "extra_data is not 'none'"),
    ("config", (config_of("Recipe.lr = ", "Recipe.lr = 1"),), "the config text has"),
    ("config of the method", (config_of("CoOp.n_ctx = ", "CoOp.n_ctx = 1"),), "for CoOp.n_ctx"),
    ("config, a line more", (config_of("CoOp.", "CoOp.best = 1\nCoOp."),), "for CoOp.best"),
    ("config, a reference", (config_of("CoOp.", "A.b = @os.name\nCoOp."),), "is a reference"),
    ("config, deep", (update(config="A.b = " + "[" * 9000),), "config text cannot be read"),
    ("built-in name", (update("method", provider="theirs 1.0, file 01"),), "'coop' reads like"),
    ("ours", (theirs("Foo", provider="promptbench 0.2, file 0123456789ab"),), "promptbench itself"),
    ("ours, in disguise", (theirs("Foo", provider="Prompt-Bench"),), "promptbench itself"),
    ("ours, homoglyph", (theirs("Foo", provider="рromptbench 1.0"),), "promptbench itself"),
    ("zero-shot", (theirs("Foo"), update("method", paradigm="zero-shot")), "paradigm is zero-shot"),
    ("published name", (theirs("Foo", name="cocoop"),), "the name 'cocoop' reads like"),
    ("no title", (theirs("\u200b \u3164"),), "cannot be read"),
]


@pytest.mark.parametrize(
    ("changes", "reason"), [c[1:] for c in OF_A_NEW_ROW], ids=[c[0] for c in OF_A_NEW_ROW]
)
def test_no_forgery_makes_a_row(
    accepted: Path, other: Path, tmp_path: Path, changes: tuple[Change, ...], reason: str
) -> None:
    path = forge(other, tmp_path / "forged", *changes)
    found = call("leaderboard", "verify", path.parent)
    assert found.exit_code == 1 and reason in found.stdout, found.output
    sent = call("leaderboard", "submit", path.parent, "--out", tmp_path / "pr")
    assert sent.exit_code == 1 and not (tmp_path / "pr").exists()


def test_an_honest_new_row_is_consistent_without_its_data(
    accepted: Path, other: Path, tmp_path: Path
) -> None:
    found = call("leaderboard", "verify", forge(other, tmp_path / "honest"))
    assert found.exit_code == 0 and found.stdout.startswith("consistent"), found.output


def test_what_stands_may_be_submitted_again(accepted: Path, tmp_path: Path) -> None:
    again = forge(original(accepted), tmp_path / "again")
    assert call("leaderboard", "verify", again).exit_code == 0
    counted = building.accepted(standing.judge_with_accepted([again]), pytest.fail)
    assert [v.path for v in counted] == records.find([accepted])


TITLES = [
    "AlignedNorm", "alignednorm", "AlignedNorm ", "Aligned Norm", "Aligned-Norm",
    "AlignedNorm (ours)", "AlignedNorm, ours", "AlignedNorm-ours", "AlignedNorm – ours",
    "our AlignedNorm", "AlignedNorm v2", "published: AlignedNorm", "\u0410ligned\u041dorm",
    "Aligned\u200bNorm",
    "AlignedN0rm", "A\u0301lignedNorm", "\uff21lignedNorm", "AlignedNorm\u3164", "AlignedNorrn",
    "CLIP", "CLIP (zero-shot)", "CLIP zero-shot", "MMRL++", "Linear  probe",
    "\u0421\u043e\u041e\u0440", "MaPLe (preset unified)", "[CoOp]", "(new) MaPLe (ours)",
]  # fmt: skip


@pytest.mark.parametrize("title", TITLES)
def test_titles_of_others_are_reserved(
    accepted: Path, other: Path, tmp_path: Path, title: str
) -> None:
    path = forge(other, tmp_path / "forged", theirs(title))
    found = call("leaderboard", "verify", path)
    assert found.exit_code == 1 and "reads like" in found.stdout, found.output


@pytest.mark.parametrize(
    "title", ["CLIP-Refiner", "ProVise", "KD-CoOp", "CoOp+", "提示学习", "β-VLM"]
)
def test_titles_of_their_own_are_taken(
    accepted: Path, other: Path, tmp_path: Path, title: str
) -> None:
    found = call("leaderboard", "verify", forge(other, tmp_path / "honest", theirs(title)))
    assert found.exit_code == 0 and "is not installed here" in found.stdout, found.output


def test_a_plugins_row_shows_its_provider(accepted: Path, other: Path, tmp_path: Path) -> None:
    silent = update("method", extra_data="")
    honest = forge(other, tmp_path / "honest", theirs("Foo"), silent)
    found = call("leaderboard", "show", honest, "--protocol", "base_to_new", "--suite", "demo")
    shown = " ".join(found.stdout.replace("\n", " ").split())
    assert found.exit_code == 0 and "their-pkg" in shown, found.output
    site = tmp_path / "site"
    assert call("leaderboard", "build", honest, "--out", site).exit_code == 0
    page = (site / "protocols" / "base_to_new.html").read_text(encoding="utf-8")
    assert (
        "Foo [by their-pkg 1.0, file 0123456789ab; learns also from what it does not say]" in page
    )
    assert "not stated" in (site / "methods" / "theirs.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ((theirs("Foo", provider="their-pkg 1.1, file 123"), update(seed=2)), "the provider of"),
        ((theirs("Bar"), update(seed=2)), "the title of theirs is not as in"),
        ((theirs("foo!", name="hers"),), "the title 'foo!' reads like that of"),
        (
            (theirs("Foo"), predict(forging.all_wrong), update(cell_id="f" * 64)),
            "what stands counts until a person removes it",
        ),
        ((theirs("Foo"), update("method", parameters={"n": 2}), update(seed=2)), "the settings"),
    ],
)
def test_an_accepted_plugin_is_described_in_one_way(
    accepted: Path, other: Path, tmp_path: Path, changes: tuple[Change, ...], reason: str
) -> None:
    place = accepted / "demo" / "base_to_new" / "theirs" / "shapes"
    forge(other, place, theirs("Foo"))
    path = forge(other, tmp_path / "forged", *changes)
    found = call("leaderboard", "verify", path)
    assert found.exit_code == 1 and reason in found.stdout, found.output
    counted = building.accepted(standing.judge_with_accepted([path]), lambda _: None)
    assert [v.path for v in counted] == records.find([accepted])


def test_copies_among_newcomers_are_both_refused(
    accepted: Path, other: Path, tmp_path: Path
) -> None:
    forge(other, tmp_path / "forged" / "1")
    forge(other, tmp_path / "forged" / "2", *forging.everything_new(2))
    found = call("leaderboard", "verify", tmp_path / "forged")
    assert found.exit_code == 1 and "2 refused" in found.stderr
    assert found.stdout.count("the same counts of every class") == 2


def made_up(accepted: Path, folder: Path, dataset: str, seed: int) -> Verdict:
    """A record of a seed that no other gives away, as if its dataset had been at hand."""
    wrong = (*forging.everything_new(seed), predict(forging.all_wrong))
    digest = update("training", parameters_sha256=hashlib.sha256(dataset.encode()).hexdigest())
    path = forge(original(accepted, dataset), folder / dataset, *wrong, digest)
    return Verdict(path, records.parse(path), "verified")


def test_a_new_seed_of_a_row_that_stands_comes_whole(accepted: Path, tmp_path: Path) -> None:
    """With a seed that lacks a dataset, the row would lose its averages."""
    stand = [(path, records.parse(path)) for path in records.find([accepted])]
    names = ("shapes", "shapes_neon", "color_shape")
    new = [made_up(accepted, tmp_path / "new", name, 4) for name in names]
    assert [v.state for v in standing.together(new, stand)] == ["verified"] * 3
    found = standing.together(new[:2], stand)
    assert [v.state for v in found] == ["refused"] * 2
    assert found[0].reasons == ("seed 4 of a row that stands lacks color_shape",)


def test_what_stands_counts_even_where_a_later_record_is_better_proved(
    accepted: Path, tmp_path: Path
) -> None:
    """Accepted without predictions, then sent again with them: a person decides."""
    bare = original(accepted)
    again = forge(bare, tmp_path / "again")
    shutil.rmtree(bare.parent / "predictions")
    counted = building.accepted(standing.judge_with_accepted([again]), pytest.fail)
    assert [v.path for v in counted] == records.find([accepted])


def test_an_average_over_a_part_of_the_data_sets_is_none(accepted: Path, other: Path) -> None:
    found = building.boards(building.accepted(standing.judge([other]), pytest.fail))
    (made,) = [each for each in found if each.suite.name == "demo"]
    (row,) = [row for row in made.rows if row.state != "published"]
    summaries = {column.key for column in made.columns if column.summary}
    assert row.values and not summaries & row.values.keys()


def test_a_forgery_that_is_put_among_the_accepted_is_named_with_its_original(
    accepted: Path,
) -> None:
    place = accepted / "demo" / "base_to_new" / "maple"
    copied = forge(original(accepted), place / "copy", *forging.everything_new(4))
    found = call("leaderboard", "verify")
    assert found.exit_code == 1 and "2 refused" in found.stderr
    assert found.stdout.count("the same counts of every class") == 2
    assert str(copied) in found.stdout and str(original(accepted)) in found.stdout


def test_two_accepted_records_of_a_cell_are_an_error(accepted: Path) -> None:
    place = accepted / "demo" / "base_to_new" / "maple"
    copied = forge(original(accepted), place / "copy", predict(forging.relabelled))
    found = call("leaderboard", "verify")
    assert found.exit_code == 2 and str(copied) in found.stderr


def test_who_agrees_with_what_stands_is_not_blamed(
    accepted: Path, other: Path, tmp_path: Path
) -> None:
    """A forgery in the same folder takes no honest record with it."""
    honest = forge(other, tmp_path / "new" / "honest")
    forge(original(accepted), tmp_path / "new" / "1", *forging.everything_new(4))
    forge(original(accepted), tmp_path / "new" / "2", *forging.everything_new(5))
    forge(original(accepted), tmp_path / "new" / "3", update("backbone", image_size=448))
    verdicts = standing.judge(records.find([tmp_path / "new"]))
    assert {v.path for v in verdicts if v.state != "refused"} == {honest}
    assert all(len(v.reasons) <= 2 for v in verdicts)
