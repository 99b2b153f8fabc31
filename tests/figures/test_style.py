"""The page of a figure: widths and formats of papers, and styles of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner

from promptbench.cli import main
from promptbench.errors import UserError
from promptbench.figures.looks import COLOURS, DARK_COLOURS, Look
from promptbench.figures.sheet import finish, handle, sheet
from promptbench.figures.style import WIDTHS, Page, colour, read_style, styled

matplotlib = pytest.importorskip("matplotlib")


def drawn(prefix: Path, page: Page) -> list[Path]:
    with styled(page):
        figure, (axis,) = sheet(1, 1, 4.0, 2.0)
        axis.plot([1, 2], [3, 4])
        return finish(figure, {"a line": handle({"color": "black"})}, "What it shows", prefix)


@pytest.mark.parametrize("paper", ["single", "double"])
def test_a_paper_has_its_width_a_pdf_and_no_title(
    paper: Literal["single", "double"], tmp_path: Path
) -> None:
    page = Page(paper)
    paths = drawn(tmp_path / "x", page)
    assert [path.suffix for path in paths] == [".png", ".svg", ".pdf"]
    points = 72 * WIDTHS[paper]
    pdf = paths[2].read_bytes()
    assert f"/MediaBox [ 0 0 {points:g} ".encode() in pdf and b"/Title (What it shows)" in pdf
    assert "What it shows" not in paths[1].read_text().partition("</metadata>")[2]
    free = drawn(tmp_path / "y", Page())
    assert [path.suffix for path in free] == [".png", ".svg"]
    assert "What it shows" in free[1].read_text().partition("</metadata>")[2]


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (drawn(tmp_path / name, Page("single")) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_style_of_ones_own_wins(tmp_path: Path) -> None:
    own = tmp_path / "own.mplstyle"
    own.write_text("font.size: 11\naxes.grid: False\n")
    with styled(Page(style=str(own))):
        assert matplotlib.rcParams["font.size"] == 11 and not matplotlib.rcParams["axes.grid"]
        assert colour(Look(2, "o")) == COLOURS[2]
    assert matplotlib.rcParams["font.size"] != 11, "only inside the block"


def test_colours_follow_the_style() -> None:
    with styled(Page(style="ggplot")):
        assert colour(Look(1, "o")) == read_style("ggplot")["axes.prop_cycle"].by_key()["color"][1]
    with styled(), matplotlib.rc_context({"axes.facecolor": "black"}):
        assert colour(Look(1, "o")) == DARK_COLOURS[1]


@pytest.mark.parametrize(
    ("style", "text", "said"),
    [
        ("ggplo", None, "unknown style 'ggplo'; did you mean 'ggplot'"),
        ("nowhere/x.mplstyle", None, "the file nowhere/x.mplstyle does not exist"),
        ("bad.mplstyle", "no.such.key: 3\n", "not a matplotlib style: .*no.such.key"),
        ("bad.mplstyle", "font.size: huge and more\n", "not a matplotlib style: .*font.size"),
        ("bad.mplstyle", "", "it sets nothing"),
        ("bad.mplstyle", b"\xff\xfe\x00\x80", "not a matplotlib style|cannot be read"),
    ],
)
def test_a_wrong_style_is_one_sentence(
    style: str, text: str | bytes | None, said: str, tmp_path: Path
) -> None:
    if text is not None:
        path = tmp_path / style
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        style = str(path)
    with pytest.raises(UserError, match=said) as caught:
        read_style(style)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", [["report"], ["analyze", "norms"], ["run", "--method", "coop"]])
def test_every_command_that_draws_takes_both_options(command: list[str], tmp_path: Path) -> None:
    bad = CliRunner().invoke(main, [*command, "--style", "ggplo"])
    assert bad.exit_code == 2 and "did you mean 'ggplot'" in bad.output
    shown = CliRunner().invoke(main, [command[0], "--help"])
    assert "--paper" in shown.output and "--style" in shown.output


@pytest.mark.parametrize("command", [["report"], ["analyze", "norms"], ["run", "--method", "coop"]])
def test_a_file_that_is_no_style_is_one_sentence(command: list[str], tmp_path: Path) -> None:
    path = tmp_path / "bad.mplstyle"
    path.write_text("no.such.key: 3\n")
    bad = CliRunner().invoke(main, [*command, "--style", str(path)])
    assert bad.exit_code == 2 and "is not a matplotlib style" in bad.output
    assert "Traceback" not in bad.output and "no.such.key" in bad.output


def test_how_figures_look_without_a_figure_is_refused(tmp_path: Path) -> None:
    found = CliRunner().invoke(main, ["report", str(tmp_path), "--paper", "single"])
    assert found.exit_code == 2 and "add --plot NAME" in found.output
