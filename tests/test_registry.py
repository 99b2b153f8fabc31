"""Finding plugins: files, entry points, clashes, versions of the API."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from promptbench.core.registry import METHODS
from promptbench.errors import UserError
from tests.calling import call
from tests.contract.points import only
from tests.distributions import distribution

# A method that somebody might send: one file, nothing else.
SHIFTED = '''
"""Shifted: one learnable shift of all class features."""

import torch
import torch.nn.functional as F
from promptbench.core.method import Method, full_precision, unit


class Shifted(Method):
    title, paper, paradigm = "Shifted", "unpublished", "end-to-end"

    def __init__(self, towers, classes, scale: float = 1.0):
        super().__init__(towers, classes)
        self.scale = scale
        self.shift = torch.nn.Parameter(torch.zeros(towers.embed_dim))

    def prepare(self, classes):
        text = self.towers.text
        return unit(text.features(text.tokens(classes.prompts)) + self.scale * self.shift)

    def logits(self, images, prepared):
        image = self.towers.image
        features = unit(image.features(image.tokens(images)))
        with full_precision(features):
            return self.towers.logit_scale * features @ prepared.T

    def losses(self, images, labels, prepared):
        return {"ce": F.cross_entropy(self.logits(images, prepared), labels)}
'''


@pytest.fixture
def shifted(tmp_path: Path) -> Path:
    path = tmp_path / f"shifted_{tmp_path.name.replace('-', '_')}.py"
    path.write_text(SHIFTED.replace("class Shifted", f"class Shifted{abs(hash(path.stem))}"))
    return path


def test_a_file_is_a_method_by_its_name(shifted: Path) -> None:
    name = METHODS.add_file(shifted)
    plugin = METHODS.load(name)
    assert plugin.name == shifted.stem
    assert plugin.provider.startswith("file ") and plugin.gin_file is None
    shifted.with_suffix(".gin").write_text("")
    assert METHODS.load(name).gin_file == shifted.with_suffix(".gin")


@pytest.mark.parametrize(
    ("file", "title"), [("analysis/drift.py", "Drift of image features"), ("report/org.py", "Org")]
)
def test_a_file_of_another_kind_is_described(file: str, title: str) -> None:
    found = call("info", Path(__file__).parent / file)
    assert found.exit_code == 0 and found.output.startswith(title)
    assert "as somebody else would write it" in found.output


def test_a_changed_file_is_another_provider(shifted: Path) -> None:
    before = METHODS.load(METHODS.add_file(shifted)).provider
    shifted.write_text(shifted.read_text().replace("Shifted", "Changed"))
    assert METHODS.load(METHODS.add_file(shifted)).provider != before


def test_one_unknown_file_is_checked_run_and_tabulated(shifted: Path, tmp_path: Path) -> None:
    checked = call("check", shifted)
    assert checked.exit_code == 0, checked.output
    few = ("--datasets", "counts", "--shots", "2", "--set", "Recipe.epochs=1", "--limit", "50")
    where = ("--plugin", shifted, "--method", shifted.stem, "--out", tmp_path / "runs")
    ran = call("run", *where, "--protocol", "base_to_new", *few)
    assert ran.exit_code == 0, ran.output
    table = call("report", tmp_path / "runs", "--format", "markdown").output
    assert "Shifted" in table and "CLIP (zero-shot)" in table


def test_check_says_what_broke_with_the_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "A sample alone", "Each learnable")
    path = tmp_path / "batchwise.py"
    path.write_text(
        SHIFTED.replace("Shifted", "Batchwise").replace(
            "unit(image.features(image.tokens(images)))",
            "unit(image.features(image.tokens(images)) - 0.1 * images.mean())",
        )
    )
    checked = call("check", path)
    assert checked.exit_code == 1
    assert "BROKE" in checked.output and "relative difference" in checked.output


def test_what_is_to_be_done_about_it_is_not_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "At bfloat16 a method")
    monkeypatch.setenv("COLUMNS", "60")  # the columns are narrower than what is named
    path = tmp_path / "rounded.py"
    product = "self.towers.logit_scale * features @ prepared.T"
    path.write_text(
        SHIFTED.replace("Shifted", "Rounded").replace(product, f"({product}).bfloat16()")
    )
    said = call("check", path).output
    assert "the last product in" in " ".join(said.split()) and "…" not in said


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("99", "upgrade promptbench"),
        ("0", "Changed since: 1: the first"),
        ("'one'", "'one' of the plugin API"),
    ],
)
def test_another_api_version_is_refused(shifted: Path, stated: str, message: str) -> None:
    shifted.write_text(f"{shifted.read_text()}\n\nPROMPTBENCH_API = {stated}\n")
    with pytest.raises(UserError, match=message):
        METHODS.load(METHODS.add_file(shifted))


def test_mistakes_of_plugin_files(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import torch\n\n1 / 0\n")
    found = call("check", broken)
    assert found.exit_code == 2
    assert "cannot be imported: ZeroDivisionError" in found.output
    assert "(broken.py, line 3)" in found.output
    misspelt = tmp_path / "misspelt.py"
    misspelt.write_text("import torch\n\ndef f(:\n")
    found = call("check", misspelt)
    assert found.exit_code == 2
    said = " ".join(found.output.split())
    assert "SyntaxError: invalid syntax (misspelt.py, line 3)" in said and "frozen" not in said
    assert "not a Python file" in call("check", tmp_path / "nowhere.py").output
    clash = tmp_path / "coop.py"
    clash.write_text(SHIFTED)
    assert "provided twice" in call("check", clash).output
    empty = tmp_path / "empty.py"
    empty.write_text("")
    assert "exactly one Method" in call("check", empty).output
    odd = tmp_path / "with-dash.py"
    odd.write_text("")
    assert "a plugin's file is named like it" in call("check", odd).output


def test_entry_points_are_found_and_clash_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    distribution(tmp_path, "elsewhere", "theirs_elsewhere", SHIFTED.replace("Shifted", "Elsewhere"))
    plugin = METHODS.load("elsewhere")
    assert plugin.provider.startswith("theirs_elsewhere 1.0, file ")
    assert "elsewhere" in METHODS.names()
    with (tmp_path / "theirs_elsewhere.py").open("a") as file:
        file.write("# as an author edits an installed package\n")
    assert METHODS.load("elsewhere").provider != plugin.provider
    distribution(tmp_path, "coop", "another_coop", SHIFTED)
    with pytest.raises(UserError, match="'coop' is provided twice: by promptbench and by another"):
        METHODS.names()


def test_a_broken_package_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    distribution(tmp_path, "unlucky", "unlucky_package", "import no_such_module\n")
    monkeypatch.delitem(sys.modules, "unlucky_package", raising=False)
    listed = call("ls", "methods").output
    assert "unlucky" in listed and "No module named" in listed and "alignednorm" in listed


SEEN_CLASSES = '''
"""Each dataset learned and scored over all of its classes."""

from promptbench.core.protocol import (Column, Leg, Protocol, Source, Target, score)


class SeenClasses(Protocol):
    title, version = "Seen classes", 7

    def legs(self, shots, only=None):
        names = only or ["counts"]
        return [Leg(Source(n, "all", shots), (Target(n, "all", "none"),)) for n in names]

    def columns(self, legs):
        return [
            Column("", leg.source.dataset, score(leg.source, leg.targets[0]), leg.source.shots)
            for leg in legs
        ]
'''


def test_a_protocol_from_another_package_runs_and_is_tabulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    distribution(tmp_path, "seen_classes", "their_protocol", SEEN_CLASSES, "promptbench.protocols")
    assert "Seen classes" in call("ls", "protocols").output
    few = ("--shots", "2", "--limit", "50", "--out", tmp_path / "runs")
    ran = call("run", "--method", "linear_probe", "--protocol", "seen_classes", *few)
    assert ran.exit_code == 0, ran.output
    assert "Seen classes (v7)" in ran.output and "Linear probe" in ran.output
