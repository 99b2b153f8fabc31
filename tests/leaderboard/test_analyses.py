"""Analyses on the site: numbers and PNG figures of folders that were asked for, nothing else."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from promptbench.analysis import results
from promptbench.leaderboard.web import analyses
from tests.calling import call
from tests.leaderboard_hostile import SCRIPT

PLACE = Path("demo") / "few_shot" / "coop"


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder of an analysis of CoOp, with one figure."""
    folder = tmp_path / "analysis" / PLACE
    folder.mkdir(parents=True)
    (folder / "geometry.png").write_bytes(png())
    write(folder, ["geometry.png", "geometry.svg"])
    return tmp_path / "analysis"


def write(folder: Path, figures: list[str], **changes: Any) -> None:
    run = results.RunInfo(
        title=SCRIPT, method="coop", dataset="fills", seed=1, cell_id="1", parameters_sha256=None
    )
    facts: dict[str, Any] = {
        "analysis": "geometry",
        "title": "Uniformity and tolerance",
        "suite": "demo",
        "comparable": False,
        "protocol": "few_shot",
        "backbone": "promptbench-tiny (demo)",
        "images": 0,
        "methods": ["coop"],
        "runs": [run],
        "figures": figures,
        "rows": [{"title": "=1+1", "value": 0.5}],
    }
    found = results.Result(**facts | changes)
    (folder / "geometry.json").write_text(found.model_dump_json(), encoding="utf-8")


def collected(study: Path, site: Path) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """What pages show of the folder, and what was left out."""
    left_out: list[str] = []
    return analyses.collect([study], site, left_out.append), left_out


def test_analyses_are_shown_with_their_methods(study: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    built = call("leaderboard", "build", "--out", site, "--analyses", study)
    assert built.exit_code == 0 and "left out" not in built.stderr, built.output
    page = (site / "methods" / "coop.html").read_text(encoding="utf-8")
    assert "../analyses/demo/few_shot/coop/geometry.png" in page and SCRIPT not in page
    assert (site / "analyses" / PLACE / "geometry.png").is_file()
    assert "Why it works" not in (site / "methods" / "maple.html").read_text(encoding="utf-8")
    table = (site / "analyses" / PLACE / "geometry.csv").read_text(encoding="utf-8")
    assert table.splitlines()[0].startswith("title,method") and "'=1+1" in table


def test_analyses_are_shown_only_if_asked_for(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where ./analysis lies
    assert call("leaderboard", "build", "--out", "site").exit_code == 0
    assert not (tmp_path / "site" / "analyses").exists()


def a_page(folder: Path) -> str:
    (folder / "more.html").write_text("<script>alert(1)</script>", encoding="utf-8")
    return "more.html"


def a_script(folder: Path) -> str:
    (folder / "more.svg").write_text("<svg onload='alert(1)'/>", encoding="utf-8")
    return "more.svg"


def no_picture(folder: Path) -> str:
    (folder / "more.png").write_text("<script>alert(1)</script>", encoding="utf-8")
    return "more.png"


def a_jpeg(folder: Path) -> str:
    Image.new("RGB", (3, 2)).save(folder / "more.png", "JPEG")
    return "more.png"


def outside(folder: Path) -> str:
    (folder.parent / "more.png").write_bytes(png())
    return "../more.png"


def a_link(folder: Path) -> str:
    (folder.parents[3] / "secret.png").write_bytes(png())
    (folder / "more.png").symlink_to(folder.parents[3] / "secret.png")
    return "more.png"


def a_pipe(folder: Path) -> str:
    os.mkfifo(folder / "more.png")
    return "more.png"


def nothing(folder: Path) -> str:
    return "more.png"


@pytest.mark.parametrize(
    "made", [a_page, a_script, no_picture, a_jpeg, outside, a_link, a_pipe, nothing]
)
def test_figures_are_png_files_of_the_folder(study: Path, tmp_path: Path, made: Any) -> None:
    folder = study / PLACE
    write(folder, ["geometry.png", made(folder)])
    shown, left_out = collected(study, tmp_path / "site")
    assert len(left_out) == 1 and "more" in left_out[0]
    ((picture, width, height),) = shown["coop"][0]["pictures"]
    assert Path(picture).name == "geometry.png"
    with Image.open(tmp_path / "site" / picture) as image:
        assert image.size == (width, height)
    copied = {file.name for file in (tmp_path / "site").rglob("*") if file.is_file()}
    assert copied == {"geometry.json", "geometry.csv", "geometry.png"}


def test_figures_are_drawn_again(study: Path, tmp_path: Path) -> None:
    """What hides behind the picture is not taken over."""
    (study / PLACE / "geometry.png").write_bytes(png() + b"<script>alert(1)</script>")
    collected(study, tmp_path / "site")
    copied = tmp_path / "site" / "analyses" / PLACE / "geometry.png"
    assert b"script" not in copied.read_bytes()
    with Image.open(copied) as image:
        assert image.size == (3, 2)


def test_large_figures_are_left_out(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyses, "MOST_PIXELS", 5)
    assert "3 x 2 pixels" in collected(study, tmp_path / "site")[1][0]
    monkeypatch.setattr(analyses, "MOST_BYTES", 10)
    assert "is larger than" in collected(study, tmp_path / "site")[1][0]


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "pipe", "no analysis"])
def test_a_study_that_is_not_one_is_left_out(study: Path, tmp_path: Path, kind: str) -> None:
    folder = study / "more"
    if kind == "link to a folder":
        (tmp_path / "elsewhere").mkdir()
        write(tmp_path / "elsewhere", [])
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
    if kind == "link to a file":
        (folder / "geometry.json").symlink_to(study / PLACE / "geometry.json")
    elif kind == "pipe":
        os.mkfifo(folder / "geometry.json")
    elif kind == "no analysis":
        (folder / "geometry.json").write_text("{}", encoding="utf-8")
    _, left_out = collected(study, tmp_path / "site")
    assert len(left_out) == (0 if kind == "link to a folder" else 1)
    assert not (tmp_path / "site" / "analyses" / "more").exists()
