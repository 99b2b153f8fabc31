"""`promptbench data fetch` at the terminal: consent, several datasets, what is next."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w
from click.testing import CliRunner, Result

from promptbench.cli import main
from tests.data import toy
from tests.data.file_server import Server, server
from tests.data.test_fetch import IMAGES, images

__all__ = ["server"]  # a fixture


@pytest.fixture
def folder(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two datasets with cards: `open` and `bound`, whose licence asks for consent."""
    monkeypatch.setenv("PROMPTBENCH_CARDS", str(tmp_path / "cards"))
    (tmp_path / "cards").mkdir()
    server.files = {"/open": IMAGES, "/bound": IMAGES}
    for name in ("open", "bound"):
        entry = images(f"{server.url}/{name}", gives=f"{name}/images")
        entry["urls"] = list(entry["urls"])
        facts = {"licence": f"only for {name}", "asks_consent": name == "bound"}
        card = toy.FACTS | facts | {"name": name, "archives": [entry]}
        (tmp_path / "cards" / f"{name}.toml").write_text(tomli_w.dumps(card))
    return tmp_path / "sets of mine"


def fetch(folder: Path, *words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(main, ["data", "fetch", "--to", str(folder), *words], input=answer)


def test_what_is_next_can_be_copied(folder: Path) -> None:
    done = fetch(folder, "open", "open")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        f"open: complete in {folder}\nnext: promptbench data prepare open --source '{folder}'\n"
    )
    assert "open: licence: only for open\n" in done.stderr
    assert (folder / "open/images/a.jpg").is_file()


def test_a_licence_that_asks_wants_consent(
    folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = fetch(folder, "open", "bound")
    assert refused.exit_code == 2 and server.asked == []  # not even the other one
    assert (
        "error: bound: its licence asks for consent (only for bound), and nobody can be asked "
        "here; pass --accept-licence if you accept it\n"
    ) in refused.stderr
    assert fetch(folder, "bound", "--accept-licence").exit_code == 0
    monkeypatch.setattr("promptbench.cli.fetching._can_ask", lambda: True)
    other = folder / "other"
    declined = fetch(other, "bound", answer="n\n")
    assert declined.exit_code == 2 and "its licence was not accepted" in declined.stderr
    assert fetch(other, "bound", answer="y\n").exit_code == 0
    again = fetch(other, "bound")  # the text is the same: nobody is asked twice
    assert again.exit_code == 0 and "accept" not in again.output


def test_offline_nobody_is_asked_before_it_is_said_what_to_put_where(
    folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTBENCH_OFFLINE", "1")
    refused = fetch(folder, "bound")
    assert refused.exit_code == 2 and server.asked == []
    assert "bound: licence: only for bound" in refused.stderr
    assert "put this file into" in refused.stderr and "consent" not in refused.stderr


def test_one_that_cannot_be_had_does_not_keep_the_others(folder: Path, server: Server) -> None:
    del server.files["/bound"]
    found = fetch(folder, "bound", "open", "--accept-licence")
    assert found.exit_code == 2
    assert f"next: promptbench data prepare open --source '{folder}'" in found.stdout
    assert found.stderr.count("error: ") == 1 and "error: bound is not complete: " in found.stderr


def test_a_dry_run_asks_nothing_of_anybody(folder: Path, server: Server) -> None:
    found = fetch(folder, "bound", "--dry-run")
    assert found.exit_code == 0 and server.asked == [] and not folder.exists()
    assert f"images.tgz -> {folder}/bound/images: {len(IMAGES)} bytes, checksum known; from " in (
        found.stdout
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("opn",), "unknown dataset 'opn'; did you mean 'open'?"),
        (("shapes",), "shapes is not downloaded: promptbench draws its images"),
        (("open", "imagenet"), "imagenet cannot be fetched: "),
        ((), "missing argument 'NAMES...'"),
    ],
)
def test_bad_input_is_one_sentence(folder: Path, words: tuple[str, ...], why: str) -> None:
    found = fetch(folder, *words)
    assert found.exit_code == 2 and why in found.stderr and not folder.exists()


def test_a_folder_that_cannot_be_written_is_said(folder: Path) -> None:
    folder.write_text("a file")
    found = fetch(folder, "open")
    assert found.exit_code == 2 and "is a file" in found.stderr
    found = fetch(folder / "below", "open")
    assert found.exit_code == 2 and "cannot write" in found.stderr
