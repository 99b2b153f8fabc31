"""Runs that are handed on and used elsewhere: whole, compared with their hashes, or refused."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from PIL import Image

import promptbench
from promptbench import records
from promptbench.cli import main
from promptbench.data.cards import cards
from promptbench.errors import UserError
from promptbench.records import subset
from promptbench.sharing import hub_place, place_of
from promptbench.sharing.contents import of_cell
from promptbench.storage.integrity import listed
from tests.sharing.hub_server import Hub

PLACE = "hf:user/coop-fills"


def call(*arguments: object) -> Result:
    found = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exc_info
    return found


def refused(*arguments: object) -> str:
    found = call(*arguments)
    assert found.exit_code == 2 and found.stderr.startswith("error: "), found.output
    assert found.stderr.count("error: ") == 1 and not found.stdout
    return " ".join(found.stderr.split())


def picture() -> Image.Image:
    return Image.new("RGB", (40, 40), (200, 30, 30))


def test_a_folder_holds_the_run_and_its_card(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "card"
    found = call("push", run, f"folder:{out}", "--license", "mit")
    assert found.exit_code == 0 and found.stdout == f"pushed 6 files to {out}\n"
    record = records.read(out / records.RECORD)
    assert record == records.read(run / records.RECORD)
    names = set(listed(out))
    assert names == {records.RECORD, records.PARAMETERS, "predictions/fills-all.csv.gz"}
    for name, digest in listed(out).items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert cards.read(out / "card.toml").digest == record.data["fills"].card_sha256
    one, two = (promptbench.load(str(place)).logits(picture()) for place in (run, f"folder:{out}"))
    assert torch.equal(one, two)


def test_the_card_says_what_the_record_says(run: Path, tmp_path: Path) -> None:
    record = records.read(run / records.RECORD)
    call("push", run, f"folder:{tmp_path / 'card'}", "--licence", "mit")
    text = (tmp_path / "card" / "README.md").read_text()
    facts: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    assert facts["library_name"] == "promptbench" and facts["license"] == "mit"
    (result,) = facts["model-index"][0]["results"]
    assert result["dataset"] == {
        "name": cards.load("fills").title,
        "type": "fills",
        "config": "all",
        "split": "test",
    }
    values = {m["type"]: m["value"] for m in result["metrics"]}
    assert values["accuracy"] == round(record.targets[0].accuracy, 4)
    assert {"nll", "ece", "macro_f1"} <= set(values)
    assert "Only the first 20 images" in text and "not comparable" in text
    assert f"`{record.backbone.sha256}`" in text and "promptbench predict ." in text
    assert str(tmp_path) not in text


def test_without_a_licence_none_is_stated(run: Path, tmp_path: Path) -> None:
    call("push", run, f"folder:{tmp_path / 'card'}")
    text = (tmp_path / "card" / "README.md").read_text()
    assert "license" not in yaml.safe_load(text.split("---\n")[1])
    assert "what was learned: not stated" in text


def test_a_repository_gives_what_was_put_into_it(run: Path, hub: Hub, tmp_path: Path) -> None:
    found = call("push", run, PLACE)
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith(f"pushed 6 files to {hub.address}/user/coop-fills (")
    assert hub.large, "what was learned goes as a large file"
    there = promptbench.load(PLACE)
    assert torch.equal(there.logits(picture()), promptbench.load(run).logits(picture()))
    assert str(run) not in str(hub.repositories)
    sha = hub.repositories["user/coop-fills"][-1][0]
    picture().save(tmp_path / "a.png")
    answered = call("predict", f"{PLACE}@{sha}", tmp_path / "a.png", "--format", "csv")
    assert answered.exit_code == 0 and answered.stdout.startswith("image,rank,class")
    again = call("push", run, PLACE)
    assert again.exit_code == 0 and len(hub.repositories["user/coop-fills"]) == 2, "no new commit"


def test_few_shot_keys_beside_the_record_come_along(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subset, "MOST_INSIDE", 0)
    records.finish(records.read(run / records.RECORD), run)
    assert "pushed 7 files" in call("push", run, PLACE).stdout
    assert promptbench.load(PLACE).title == "CoOp"


def test_what_the_cache_holds_needs_no_network(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("push", run, PLACE)
    promptbench.load(PLACE)
    monkeypatch.setenv("PROMPTBENCH_OFFLINE", "1")
    before = len(hub.asked)
    assert promptbench.load(PLACE).title == "CoOp" and len(hub.asked) == before
    picture().save(run / "a.png")
    assert "PROMPTBENCH_OFFLINE is set" in refused("predict", "hf:user/other", run / "a.png")
    assert "a push to folder:DIR needs no network" in refused("push", run, "hf:user/other")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (records.PARAMETERS, lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        (records.RECORD, lambda data: data.replace(b'"seed": 1,', b'"seed": 2,')),
        (records.RECORD, lambda data: b'{"model_type": "clip"}'),
        ("card.toml", lambda data: data.replace(b"a photo of", b"a scan of")),
    ],
)
def test_what_is_not_as_its_hash_says_is_not_used(
    run: Path, hub: Hub, name: str, change: Any
) -> None:
    call("push", run, PLACE)
    content = hub.at("user/coop-fills", "main")[1][name]  # type: ignore[index]
    assert change(content) != content
    hub.tampered[name] = change(content)
    with pytest.raises(
        UserError, match=r"sha256 differs|changed after|not a valid record|data card"
    ):
        promptbench.load(PLACE)


def test_places_that_hold_no_run(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.commit("user/other", {"config.json": b"{}", "README.md": b""})
    image = run / "a.png"
    picture().save(image)
    assert "holds no record.json" in refused("predict", "hf:user/other", image)
    assert "does not exist, or is private" in refused("predict", "hf:user/none", image)
    assert "has no revision 'v1'" in refused("predict", "hf:user/other@v1", image)
    assert "holds something else (config.json)" in refused("push", run, "hf:user/other")
    assert call("push", run, "hf:user/other", "--replace").exit_code == 0
    assert "config.json" in hub.at("user/other", "main")[1]  # type: ignore[index]
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "no right to write" in refused("push", run, "hf:user/mine")


def test_another_cell_is_not_written_over(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("push", run, f"folder:{out}").exit_code == 0
    assert call("push", run, f"folder:{out}").exit_code == 0
    record = json.loads((out / records.RECORD).read_text())
    (out / records.RECORD).write_text(json.dumps(record | {"created": "2026-01-01T00:00:00+00:00"}))
    assert "holds another cell" in refused("push", run, f"folder:{out}")
    (out / "predictions" / "old.csv.gz").write_bytes(gzip.compress(b""))
    assert call("push", run, f"folder:{out}", "--replace").exit_code == 0
    assert not (out / "predictions" / "old.csv.gz").exists()


def test_a_run_that_is_not_whole_stays_here(run: Path, tmp_path: Path) -> None:
    file = run / "predictions" / "fills-all.csv.gz"
    content = file.read_bytes()
    file.write_bytes(gzip.compress(gzip.decompress(content) + b"\n"))
    assert "sha256 differs" in refused("push", run, f"folder:{tmp_path / 'out'}")
    file.unlink()
    found = call("push", run, f"folder:{tmp_path / 'out'}")
    assert found.exit_code == 0 and "predictions of fills/all are not beside" in found.stderr
    (run / records.PARAMETERS).unlink()
    assert "has no learned.safetensors" in refused("push", run, f"folder:{tmp_path / 'other'}")
    assert not (tmp_path / "other").exists()


def test_without_a_token_nothing_is_sent(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    assert "needs a token" in refused("push", run, PLACE)
    assert not hub.repositories


@pytest.mark.parametrize(
    "text",
    ["hf:coop", "hf:", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a/..", "hf:a/b c", "hf:a/b@../x"],
)
def test_names_that_are_no_repository(text: str) -> None:
    with pytest.raises(UserError, match="does not name a repository"):
        hub_place(text)


@pytest.mark.parametrize("text", ["runs", "folder:", "s3:bucket/x", "hf:user/name@main"])
def test_places_to_which_nothing_is_pushed(text: str) -> None:
    with pytest.raises(UserError, match=r"write hf:user/name or folder:DIR|leave @main out"):
        place_of(text)


def test_names_of_repositories() -> None:
    assert str(hub_place("hf://user/my.name-2")) == "hf:user/my.name-2"
    found = hub_place("hf:user/name@refs/pr/1")
    assert found is not None and found.revision == "refs/pr/1"
    assert hub_place("runs/hf:x") is None


def test_where_own_images_lie_stays_private(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = cards.path_of("fills").read_text()
    assert "[source]" in text
    own = tmp_path / "fills.toml"
    own.write_text(text.replace("[source]", '[source]\nlocation = "/home/me/secret"'))
    monkeypatch.setattr(cards, "load", lambda _: cards.read(own))
    monkeypatch.setattr(cards, "path_of", lambda _: own)
    files = of_cell(run / records.RECORD).files
    (tmp_path / "card.toml").write_bytes(files["card.toml"])
    assert cards.read(tmp_path / "card.toml").digest == cards.read(own).digest
    assert b"secret" not in b"".join(files.values())
