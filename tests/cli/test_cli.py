"""The command line: help, listings, refusals."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from promptbench.cli import main
from promptbench.cli.catalogue import KINDS


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['promptbench', '--help']\n"
        "from promptbench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'open_clip', 'numpy', 'pydantic', 'rich')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Examples:" in done.stdout and done.stdout.rstrip().endswith("[]")


def commands(command: click.Command = main, path: tuple[str, ...] = ()) -> dict[str, click.Command]:
    """Every command and group by the words that call it."""
    found = {" ".join(path): command}
    below = command.commands if isinstance(command, click.Group) else {}
    for name, each in below.items():
        found |= commands(each, (*path, name))
    return found


@pytest.mark.parametrize("path", [p for p, c in commands().items() if not c.hidden])
def test_every_command_has_examples_that_it_would_take(path: str) -> None:
    text = call(*path.split(), "--help").output.partition("Examples:\n")[2]
    assert all(len(line) <= 80 for line in text.splitlines())
    shown = text.replace("\\\n", "").splitlines()
    assert shown and any(line.split()[1:][: len(path.split())] == path.split() for line in shown)
    for line in shown:
        words = shlex.split(line)
        named = [n for n in commands() if n and words[1:][: len(n.split())] == n.split()]
        if "COMMAND" not in words:
            known = {name for option in commands()[named[-1]].params for name in option.opts}
            assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("path", [p for p, c in commands().items() if isinstance(c, click.Group)])
def test_a_list_of_commands_says_in_whole_sentences_what_they_do(path: str) -> None:
    listed = call(*path.split(), "--help").output.partition("Commands:\n")[2]
    lines = listed.partition("Examples:")[0].split("\n\n")[0].splitlines()
    below = getattr(commands()[path], "commands", {}).values()
    assert len(lines) == sum(not each.hidden for each in below)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


@pytest.mark.parametrize("what", KINDS)
def test_listings(what: str) -> None:
    found = call("ls", what)
    expected = {
        "methods": ("alignednorm", "coupled", "decoupled", "end-to-end"),
        "protocols": ("base_to_new", "cross_dataset"),
        "metrics": ("accuracy", "higher", "counts"),
        "selections": ("last", "last epoch", "validation", "best validation epoch"),
        "trackers": ("jsonl", "terminal", "wandb", "offline (the default) or"),
        "executors": ("local", "processes", "any number"),
        "analyses": ("norms", "attention", "geometry", "field"),
        "formats": ("csv", "html", "latex", "markdown"),
        "datasets": ("shapes", "colors"),
        "suites": ("demo", "clip"),
        "weights": ("remoteclip-vit-b-32", "RemoteCLIP-ViT-B-32.pt", "ViT-B-32-quickgelu"),
        "grids": ("settings",),
    }
    assert found.exit_code == 0
    assert all(word in found.output for word in expected[what])


def test_facts_are_written_as_a_person_writes_them() -> None:
    suite, card = call("info", "clip").output, call("data", "info", "counts").output
    assert "None" not in suite and "15 datasets:" in suite and "imagenet_sketch" in suite
    assert "train 128, test 600" in card


@pytest.mark.parametrize("name", ["alignednorm", "cross_dataset", "shapes", "clip"])
def test_descriptions(name: str) -> None:
    assert call("info", name).exit_code == 0


RUN = ("run", "--protocol", "base_to_new")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*RUN, "--method", "alignednrm"), "did you mean 'alignednorm'"),
        (("run", "--method", "coop", "--protocol", "base2new"), "did you mean 'base_to_new'"),
        ((*RUN, "--method", "coop", "--suite", "dmeo"), "did you mean 'demo'"),
        ((*RUN, "--method", "coop", "--datasets", "shaps"), "did you mean 'shapes'"),
        ((*RUN, "--method", "coop", "--preset", "papre"), "did you mean 'paper'"),
        ((*RUN, "--method", "coop", "--inference", "decoupled"), "no decoupled inference"),
        ((*RUN, "--method", "alignednorm", "--set", "AlignedNorm.beta='x'"), "does not fit float"),
        ((*RUN, "--method", "alignednorm", "--set", "AlignedNorm.bta=1"), "did you mean 'beta'"),
        ((*RUN, "--method", "coop", "--set", "CoOp.n_ctx=0"), "CoOp.n_ctx = 0 does not fit int"),
        (("plan", *RUN[1:], "--method", "vpt", "--set", "VPT.depth=-3"), "does not fit int"),
        ((*RUN, "--method", "coop", "--set", "base_to_nw/CoOp.n_ctx=4"), "unknown scope"),
        ((*RUN, "--method", "coop", "--set", "nonsense"), "not of the form"),
        ((*RUN, "--method", "coop", "--gin", "nowhere.gin"), "does not exist"),
        ((*RUN, "--method", "coop", "--weights", "nowhere.pt"), "does not exist"),
        ((*RUN, "--method", "coop", "--backbone", "ViT-B-32-quickgelu"), "needs --weights"),
        ((*RUN, "--method", "coop", "--weights", "openai"), "--backbone ViT-B-16-quickgelu; pass"),
        ((*RUN, "--method", "coop", "--data", "nowhere"), "is not a folder"),
        ((*RUN, "--method", "coop", "--suite", "clip"), "promptbench data prepare"),
        ((*RUN, "--method", "coop", "--device", "cuda:99"), "is not"),
        ((*RUN, "--method", "coop", "--device", "gpu"), "unknown device"),
        ((*RUN, "--method", "coop", "--precision", "fp8"), "unknown precision"),
        ((*RUN, "--method", "coop", "--out", "/proc/nowhere"), "cannot be written"),
        ((*RUN, "--method", "coop", "--shots", "0"), "from 1 on"),
        ((*RUN, "--method", "coop", "--datasets", ""), "--datasets names none"),
        ((*RUN, "--method", "coop", "--checkpoint-minutes", "nan"), "at least 0, not nan"),
        ((*RUN, "--method", "coop", "--seeds", "a"), "not a list of numbers"),
        (("run", "--method", "coop"), "no protocol given"),
        (RUN, "no method given"),
        (("run", "--grid", "setings"), "did you mean 'settings'"),
        (("plan", "--grid", "nowhere.gin"), "does not exist"),
        (("run", "--method", "coop", "--protocol", "base_to_new,fewshot"), "mean 'few_shot'"),
        (("report", "nowhere"), "no records"),
        (("report", "--suite", "clipp"), "did you mean 'clip'"),
        (("report", "--method", "cop"), "did you mean 'coop'"),
        (("compare", "coop", "zeroshot", "--preset", "papre"), "did you mean 'paper'"),
        (("compare", "coop", "zeroshot", "--suite", "dmeo"), "did you mean 'demo'"),
        (("compare", "coop", "zeroshot", "--runs", "nowhere"), "nowhere does not exist"),
        (("reproduce", "nowhere.json", "--tolerance", "-3"), "from 0 on, not -3.0"),
        (("validate", "nowhere"), "nowhere does not exist"),
        (("leaderboard", "build", "nowhere"), "nowhere does not exist"),
        (("leaderboard", "verify", "--data", "nowhere"), "is not a folder"),
        (("data", "ls", "--data", "nowhere"), "is not a folder"),
        (("report", "--suite", "demo", "--protocol", "few_shot"), "no records"),
        (("compare", "coop", "zeroshot"), "no records"),
        (("compare", "cop", "zeroshot"), "unknown method or folder 'cop'; did you mean 'coop'"),
        (("compare", "mmrl:decopled", "coop"), "did you mean 'decoupled'"),
        (("validate", "."), "no records under .; `promptbench run` writes them"),
        (("reproduce", "."), "no records under .; `promptbench run` writes them"),
        (("analyze", "all", "nowhere"), "nowhere does not exist; `promptbench run` writes"),
        (("wandb", "sync", "nowhere"), "nowhere does not exist; `promptbench run` writes"),
        (("leaderboard", "build", "."), "no records under ."),
        (("leaderboard", "show", ".", "--protocol", "few_shot"), "no records under ."),
        (("data", "new", "Birds", "--source", "folder:."), "use lower-case letters"),
        (("data", "prepare", "dtd", "--source", "."), "does --source name the right place?"),
        (("reproduce", "nowhere.json"), "cannot read the record"),
        (("info", "alignnorm"), "did you mean 'alignednorm'"),
    ],
)
def test_mistakes_get_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = call(*arguments)
    assert found.exit_code == 2, found.output
    assert message in found.output
    assert "Traceback" not in found.output


def test_dry_run_computes_nothing(tmp_path: Path) -> None:
    found = call(*RUN, "--method", "coop", "--seeds", "1,2", "--dry-run", "--out", str(tmp_path))
    assert found.exit_code == 0
    assert "12 cells, 0 done, 12 to compute" in found.output
    assert not list(tmp_path.iterdir())


def test_plan_is_the_dry_run_of_a_grid(tmp_path: Path) -> None:
    grid = tmp_path / "mine.gin"
    grid.write_text("Grid.methods = ('coop',)\nGrid.protocols = ('few_shot',)\n")
    few = ("--grid", str(grid), "--datasets", "counts", "--out", str(tmp_path / "runs"))
    planned, dry = call("plan", *few), call("run", *few, "--dry-run")
    assert planned.exit_code == dry.exit_code == 0, planned.output
    for found in (planned, dry):
        assert "10 cells, 0 done, 10 to compute" in found.output
        assert "5 trainings" in found.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("protocol", "trainings"), [("few_shot", 3), ("base_to_new", 3)])
def test_shots_are_a_list_as_seeds_are(protocol: str, trainings: int, tmp_path: Path) -> None:
    few = ("--datasets", "counts", "--seeds", "1", "--out", str(tmp_path / "runs"))
    found = call("plan", "--method", "coop", "--protocol", protocol, "--shots", "1,2,4", *few)
    assert found.exit_code == 0 and f"{trainings} trainings" in found.output
    wrong = call("plan", "--method", "coop", "--protocol", protocol, "--shots", "few", *few)
    assert wrong.exit_code == 2 and "'few' is not a list of numbers" in wrong.output


def test_a_grid_given_as_settings_is_told_apart(tmp_path: Path) -> None:
    grid = tmp_path / "grid.gin"
    grid.write_text("Grid.methods = ('coop',)\nGrid.protocols = ('few_shot',)\n")
    found = call(*RUN, "--method", "coop", "--gin", str(grid))
    assert found.exit_code == 2 and f"use --grid {grid}" in found.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_output_is_one_sentence() -> None:
    command = [sys.executable, "-m", "promptbench.cli", "report", "--suite", "clip"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "--protocol", "base_to_new", "--format", "csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write") and done.stderr.count("\n") == 1


def test_published_numbers_need_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = call("report", "--protocol", "base_to_new", "--suite", "clip", "--format", "markdown")
    assert found.exit_code == 0, found.output
    assert "| PromptSRC | — | — | — |" in found.output
    assert "77.60 | 71.47 | 74.41" in found.output  # AlignedNorm on imagenet


def test_run_prints_the_table_and_report_repeats_it(tmp_path: Path) -> None:
    few = ("--datasets", "counts", "--shots", "2", "--set", "Recipe.epochs=1")
    found = call(*RUN, "--method", "coop", *few, "--out", str(tmp_path))
    assert found.exit_code == 0, found.output
    assert "not comparable with published numbers" in found.output
    assert found.output.count("for a short trial add --set Recipe.warmup_epochs=0") == 1
    again = call("report", str(tmp_path), "--format", "markdown")
    assert "| CLIP (zero-shot) |" in again.output and "CoOp" in again.output
    assert "counts" in again.output and "Average" not in again.output  # one dataset
    assert call("validate", str(tmp_path)).output.count("valid  ") == 2
    assert call("report", str(tmp_path), "--protocol", "cross_dataset").exit_code == 2
    compared = call("compare", "coop", "zeroshot", "--runs", str(tmp_path))
    assert compared.exit_code == 0 and "at least 2 seeds" in compared.output


def test_several_protocols_print_a_table_each_and_shots_are_plotted(tmp_path: Path) -> None:
    few = ("--datasets", "counts", "--limit", "50", "--out", str(tmp_path))
    found = call("run", "--method", "zeroshot", "--protocol", "few_shot,base_to_new", *few)
    assert found.exit_code == 0, found.output
    assert "Few-shot classification" in found.output and "Base-to-new" in found.output
    plotted = call(
        "report", str(tmp_path), "--plot", str(tmp_path / "shots.png"), "--format", "csv"
    )
    assert plotted.exit_code == 0, plotted.output
    assert (tmp_path / "shots.png").is_file() and (tmp_path / "shots.svg").is_file()
    refused = call("report", str(tmp_path), "--plot", "shots.pdf")
    assert refused.exit_code == 2 and "not as pdf: give the name without .pdf" in refused.output


def test_doctor_says_what_is_there(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that is longer than its column is folded, not cut."""
    monkeypatch.setenv("COLUMNS", "80")
    long = cache / ("a-folder-with-a-name-" * 3)
    monkeypatch.setenv("PROMPTBENCH_CACHE", str(long))
    found = call("doctor")
    assert found.exit_code == 0, found.output
    assert "torchvision ops" in found.output and "demo weights" in found.output
    assert "…" not in found.output
    third = found.output.splitlines()[1].index("found")
    column = "".join(line[third : third + 26].strip() for line in found.output.splitlines())
    assert str(long) in column


@pytest.mark.parametrize("what", ["methods", "protocols"])
def test_tables_of_plugins_break_no_word_at_80_columns(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    narrow = call("ls", what).output
    monkeypatch.setenv("COLUMNS", "200")
    wide = call("ls", what).output
    assert {w for w in narrow.split() if "─" not in w} == {w for w in wide.split() if "─" not in w}
    assert " is from " not in narrow


def test_what_is_somebody_elses_is_said_below_the_table(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(
        Path("promptbench/metrics/accuracy.py").read_text(encoding="utf-8"), encoding="utf-8"
    )
    shown = call("ls", "metrics", "--plugin", str(tmp_path / "theirs.py")).output
    assert "\ntheirs is from file " in shown
