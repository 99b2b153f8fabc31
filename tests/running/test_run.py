"""The main job on the demo suite: real cells, small settings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import promptbench
from promptbench import records
from promptbench.data.images.resident import OnDevice
from promptbench.demo import model as demo_model
from promptbench.errors import UserError
from promptbench.models.preprocess import OPENAI_MEAN
from promptbench.records import Record
from promptbench.records.verify import recompute
from promptbench.running import cell, retry
from promptbench.running.training.descent import Descent
from promptbench.trackers.jsonl import JsonLines

FEW: dict[str, Any] = {
    "datasets": ["counts"],
    "quiet": True,
    "shots": 4,
    "set": ["Recipe.epochs=2"],
}


def run_few(out: Path, method: str = "alignednorm", **options: Any) -> list[Record]:
    return promptbench.run(method, "base_to_new", **{**FEW, "out": out, **options})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    out = tmp_path_factory.mktemp("runs")
    return out, run_few(out, "alignednorm,coop", seeds=[1, 2])


def folders(out: Path) -> list[Path]:
    return [path.parent for path in records.find([out])]


def test_every_cell_has_a_record_that_recomputes(finished: tuple[Path, list[Record]]) -> None:
    out, found = finished
    assert [r.method.name for r in found] == [
        name for name in ("zeroshot", "alignednorm", "coop") for _ in range(2)
    ]
    for folder in folders(out):
        record = records.read(folder / "record.json")
        recompute(record, folder)
        for target in record.targets:
            assert sum(target.total) == 300  # two of four classes with 150 test images each


def test_records_say_what_was_done(finished: tuple[Path, list[Record]]) -> None:
    record = finished[1][2]
    assert record.suite == "demo" and not record.comparable
    assert record.overrides == ["Recipe.epochs = 2"]
    assert record.training.recipe["epochs"] == record.training.epochs == 2
    assert set(record.training.losses[0]) == {
        "ce_class",
        "ce_rep",
        "reg_image",
        "reg_text",
        "token_norm",
        "proj_norm",
        "attention_norm",
        "post_norm",
        "total",
    }
    assert len(record.source.keys) == 2 * 4
    assert "AlignedNorm.beta" in record.config
    assert record.backbone.sha256 and record.data["counts"].shards_sha256


def test_the_preprocessing_beside_weights_holds_and_is_recorded(tmp_path: Path) -> None:
    """The same file of weights with other words beside it: other images, features and cells."""
    file = tmp_path / "open_clip_model.safetensors"
    file.write_bytes(demo_model.WEIGHTS.read_bytes())
    beside = tmp_path / "open_clip_config.json"
    found = []
    for words in ({}, {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"}):
        beside.write_text(json.dumps({"preprocess_cfg": words}))
        asked = {"suite": "clip", "backbone": demo_model.NAME, "weights": str(tmp_path)}
        asked |= {"set": [], "limit": 60, "seeds": [1]}
        found += run_few(tmp_path / "runs", "zeroshot", **asked)
    usual, changed = found
    assert usual.backbone.mean == OPENAI_MEAN and usual.backbone.resize_mode == "shortest"
    assert (changed.backbone.mean, changed.backbone.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (changed.backbone.interpolation, changed.backbone.resize_mode) == (
        "bilinear",
        "shortest",
    )
    assert usual.backbone.weights == changed.backbone.weights == f"{tmp_path.name}/"
    assert usual.cell_id != changed.cell_id
    assert usual.numbers()["counts"] != changed.numbers()["counts"]
    assert not changed.comparable


def test_learned_parameters_lie_beside_the_record(finished: tuple[Path, list[Record]]) -> None:
    learned = [f for f in folders(finished[0]) if (f / "learned.safetensors").is_file()]
    assert len(learned) == 4  # all but zero-shot
    for folder in learned:
        state = load_file(folder / "learned.safetensors")
        assert sum(v.numel() for v in state.values()) < 200_000
        assert not any("resblocks" in key for key in state)


def test_a_rerun_computes_nothing(
    finished: tuple[Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        retry, "run_cell", lambda *_: pytest.fail("a finished cell was computed again")
    )
    again = run_few(finished[0], "alignednorm,coop", seeds=[1, 2])
    assert again == finished[1]


@pytest.mark.parametrize("workers", [0, 3])
def test_numbers_do_not_depend_on_workers(
    finished: tuple[Path, list[Record]], tmp_path: Path, workers: int
) -> None:
    again = run_few(tmp_path, "alignednorm", seeds=[1], workers=workers, baseline=False)
    original = next(r for r in finished[1] if r.method.name == "alignednorm" and r.seed == 1)
    assert again[0].numbers() == original.numbers()


def test_numbers_do_not_depend_on_where_images_are_augmented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    call = OnDevice.__call__

    def counting(self: OnDevice, items: Any, rngs: Any) -> torch.Tensor:
        batches.append(len(items))
        return call(self, items, rngs)

    monkeypatch.setattr(OnDevice, "__call__", counting)
    here: dict[str, Any] = {"seeds": [1], "baseline": False, "device": "cpu"}
    here |= {"shots": 2, "limit": 60}
    recipe = ["Recipe.epochs=2", "Recipe.crop_scale=(0.08, 1.0)", "Recipe.flip=0.5"]
    host, auto, device = (
        run_few(tmp_path / place, **here, augment=place, set=recipe)[0]
        for place in ("host", "auto", "device")
    )
    assert sum(batches) == device.training.steps * batches[0]  # on a CPU auto is the host
    assert auto.training.parameters_sha256 == host.training.parameters_sha256
    assert host.cell_id == device.cell_id and host.training_id == device.training_id
    assert host.training.parameters_sha256 == device.training.parameters_sha256
    assert host.numbers() == device.numbers()


def test_an_unknown_place_to_augment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown augment 'devise'; did you mean 'device'"):
        run_few(tmp_path, augment="devise")


def test_class_chunks_change_no_loss(finished: tuple[Path, list[Record]], tmp_path: Path) -> None:
    chunked = run_few(tmp_path, seeds=[1], baseline=False, class_chunk=1)[0]
    assert chunked.training.class_chunk == 1
    whole = finished[1][2]
    assert whole.method.name == "alignednorm" and whole.seed == 1
    for ours, theirs in zip(chunked.training.losses, whole.training.losses, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
    with pytest.raises(UserError, match="--class-chunk must be at least 1"):
        run_few(tmp_path, class_chunk=0)


def test_seeds_differ(finished: tuple[Path, list[Record]]) -> None:
    first, second = (r for r in finished[1] if r.method.name == "coop")
    assert first.source.keys != second.source.keys
    assert first.training.parameters_sha256 != second.training.parameters_sha256


def test_an_interrupted_training_resumes_to_the_same_numbers(
    finished: tuple[Path, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_after_the_first_epoch(monkeypatch, tmp_path, seeds=[2], baseline=False)
    resumed = run_few(tmp_path, seeds=[2], baseline=False)[0]
    original = next(r for r in finished[1] if r.method.name == "alignednorm" and r.seed == 2)
    assert resumed.numbers() == original.numbers()
    assert not list(tmp_path.glob("**/checkpoint.pt"))


def test_a_finished_training_gives_the_memory_of_its_steps_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which on a GPU is that of a graph; what is scored comes after it."""
    order: list[str] = []
    end, score = Descent.end, cell.score

    def ended(self: Descent) -> None:
        order.append("end")
        end(self)

    def scored(*given: Any, **options: Any) -> Any:
        order.append("score")
        return score(*given, **options)

    monkeypatch.setattr(Descent, "end", ended)
    monkeypatch.setattr(cell, "score", scored)
    run_few(tmp_path, seeds=[1], baseline=False, limit=20)
    assert order[:2] == ["end", "score"]


@pytest.mark.parametrize(("later", "used"), [(3, 2), (None, 2), (1, 1)])
def test_a_training_goes_on_in_the_chunks_that_it_began_with(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    later: int | None,
    used: int,
) -> None:
    """Last bits depend on them; only smaller ones are taken, and said."""
    given: dict[str, Any] = {"seeds": [2], "baseline": False, "limit": 20}
    cut_after_the_first_epoch(monkeypatch, tmp_path, **given, class_chunk=2)
    (resumed,) = run_few(tmp_path, **given, class_chunk=later, quiet=False)
    assert resumed.training.class_chunk == used
    said = "goes on with 1 class prompt at a time, with 2 before"
    assert (said in capfd.readouterr().err) == (used == 1)


def cut_after_the_first_epoch(monkeypatch: pytest.MonkeyPatch, out: Path, **options: Any) -> None:
    """End a run as a signal does, which is not a failure of its cell."""

    class Cut(KeyboardInterrupt):
        pass

    def cut(*_: Any) -> None:
        raise Cut

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(JsonLines, "epoch_ended", cut)
        run_few(out, **options)
    assert list(out.glob("**/checkpoint.pt"))


def test_both_inference_rules_come_from_one_training(tmp_path: Path) -> None:
    decoupled, unified = run_few(tmp_path, "mmrlpp", baseline=False)
    assert (decoupled.inference, unified.inference) == ("decoupled", "unified")
    assert decoupled.training_id == unified.training_id and decoupled.cell_id != unified.cell_id
    assert decoupled.training.parameters_sha256 == unified.training.parameters_sha256
    assert len(list((tmp_path / "demo" / "trainings").iterdir())) == 1
    base, new = (
        [target.predictions_sha256 for target in record.targets] for record in (decoupled, unified)
    )
    assert base[0] == new[0] and base[1] != new[1]  # the rules differ where classes are shifted


def test_adding_a_method_changes_no_other_number(
    finished: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    alone = run_few(tmp_path, "coop", seeds=[2], baseline=False)[0]
    together = next(r for r in finished[1] if r.method.name == "coop" and r.seed == 2)
    assert alone.numbers() == together.numbers()


def test_limit_scores_a_part_and_says_so(tmp_path: Path) -> None:
    record = run_few(tmp_path, "zeroshot", limit=50)[0]
    assert [sum(t.total) for t in record.targets] == [50, 50] and record.limit == 50
    assert min(record.targets[0].total) > 0  # a fair sample, not the first class alone


def test_divergence_is_reported_with_step_and_term(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training diverged: loss term .* at epoch \d, step \d"):
        steep = ["Recipe.lr=1e30", "Recipe.warmup_epochs=0"]
        run_few(tmp_path, "coop", baseline=False, device="cpu", set=steep)


def test_towers_are_frozen_float32_and_learnables_too(finished: tuple[Path, list[Record]]) -> None:
    folder = next(f for f in folders(finished[0]) if (f / "learned.safetensors").is_file())
    assert all(v.dtype == torch.float32 for v in load_file(folder / "learned.safetensors").values())


def test_log_tells_every_epoch(finished: tuple[Path, list[Record]]) -> None:
    folder = next(f for f in folders(finished[0]) if (f / "learned.safetensors").is_file())
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events] == ["started", "epoch", "epoch", "ended"]


@pytest.mark.long
def test_bf16_on_the_cpu_stays_close(finished: tuple[Path, list[Record]], tmp_path: Path) -> None:
    low = run_few(tmp_path, "zeroshot", precision="bf16")[0]
    full = finished[1][0]
    for ours, theirs in zip(low.targets, full.targets, strict=True):
        assert abs(ours.accuracy - theirs.accuracy) < 5


def test_wandb_offline_writes_one_run_per_cell_and_one_of_the_tables(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    run_few(tmp_path, "coop", seeds=[1], wandb="offline")
    runs = list((tmp_path / "wandb").glob("offline-run-*"))
    found = [records.read(path) for path in records.find([tmp_path])]
    cells = {record.cell_id[:24] for record in found}
    assert len(runs) == len(cells) + 1
    assert cells < {path.name.split("-")[-1] for path in runs}


def test_targets_are_part_of_the_cell_but_not_of_the_training(tmp_path: Path) -> None:
    from promptbench.planning import plan
    from promptbench.planning.request import Request

    cells = [
        plan.build(Request(["coop"], "cross_dataset", datasets=names), "fp32", tmp_path).cells[-1]
        for names in (["colors"], ["colors", "counts"])
    ]
    assert cells[0].training_id == cells[1].training_id
    assert cells[0].id != cells[1].id
    assert replace(cells[0], seed=9).training_id != cells[0].training_id


def test_company_changes_no_number(tmp_path: Path) -> None:
    """Data order, augmentation and initialisation hang on the seed alone."""
    few = {**FEW, "shots": 1, "set": ["Recipe.epochs=1"], "baseline": False, "limit": 30}
    (alone,) = promptbench.run("coop", "cross_dataset", **{**few, "out": tmp_path / "alone"})
    among = promptbench.run(
        "kgcoop,coop",
        "base_to_new,cross_dataset",
        **{**few, "out": tmp_path / "among", "datasets": ["fills", "counts"], "seeds": [2, 1]},
    )
    (same,) = (
        r for r in among if (r.method.name, r.protocol.name, r.seed) == ("coop", "cross_dataset", 1)
    )
    assert same.training_id == alone.training_id
    mine, theirs = alone.numbers(), same.numbers()
    counts = theirs.pop("counts")
    assert mine.pop("counts") == {key: counts[key] for key in ("shapes/all", "counts/all")}
    assert mine == theirs


def test_protocols_that_share_a_training_train_once(tmp_path: Path) -> None:
    few = {**FEW, "out": tmp_path, "set": ["Recipe.epochs=1"], "baseline": False}
    plain, general = promptbench.run("coop", ["base_to_new", "generalized_base_to_new"], **few)
    assert len(list(tmp_path.glob("**/training.json"))) == 1
    assert plain.training.parameters_sha256 == general.training.parameters_sha256
    for closed, opened in zip(plain.targets, general.targets, strict=True):
        assert (closed.names, opened.names) == (None, "all")
        assert len(closed.total) == 2 and len(opened.total) == 4
        assert sum(closed.total) == sum(opened.total) == 300
        assert sum(opened.correct) <= sum(closed.correct)  # more names compete
    base, new = general.targets
    assert base.total[2:] == [0, 0] and new.total[:2] == [0, 0]  # labels stay as they are


def test_a_rerun_says_that_there_is_nothing_to_do(
    finished: tuple[Path, list[Record]], capsys: pytest.CaptureFixture[str]
) -> None:
    run_few(finished[0], "alignednorm,coop", seeds=[1, 2], quiet=False)
    assert "nothing to compute" in capsys.readouterr().err
