"""Wrong calls: one sentence, what was probably meant, exit code 2."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner, Result

from promptbench.cli import main
from promptbench.cli.usage import examples
from tests.metrics.test_contract import THEIRS

ASKED = "run --method coop --protocol few_shot"
WRONG = [
    ("rn", "no such command 'rn'; did you mean 'run'?"),
    ("new metod x", "no such command 'metod'; did you mean 'method'?"),
    ("--bad", "no such option '--bad' (see `promptbench --help`)"),
    (f"{ASKED} --dataset fills", "no such option '--dataset'; did you mean '--data"),
    (f"{ASKED} --seed 1", "no such option '--seed'; did you mean '--seeds', '--set'"),
    (f"{ASKED} --epochs 2", "it is a setting: --set Recipe.epochs=VALUE"),
    ("tune --method coop --batch-size 2", "it is a setting: --set Recipe.batch_size=VALUE"),
    (f"{ASKED} --seeds a", "'a' is not a list of numbers such as 1,2,3"),
    (f"{ASKED} --seeds", "requires an argument"),
    (f"{ASKED} --jobs two", "'two' is not a valid integer"),
    ("run coop", "unexpected extra argument (coop) (see `promptbench run --help`)"),
    ("info", "missing argument 'NAME'; the usage is `promptbench info [OPTIONS] NAME`"),
    ("ls method", "unknown name 'method'; did you mean 'methods'?"),
    ("report --paper sinlge --plot x", "unknown --paper 'sinlge'; did you mean 'single'?"),
]


def call(words: str) -> Result:
    return CliRunner().invoke(main, shlex.split(words), prog_name="promptbench")


@pytest.mark.parametrize(("words", "said"), WRONG, ids=[words for words, _ in WRONG])
def test_a_wrong_call_is_told_in_one_sentence(words: str, said: str) -> None:
    done = call(words)
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert line.startswith("error: ") and said in line


def test_a_setting_is_proposed_only_where_settings_are_taken() -> None:
    assert "--set" not in call("info coop --epochs 2").output


@pytest.mark.parametrize("words", ["", "data", "leaderboard"])
def test_a_group_alone_shows_what_there_is(words: str) -> None:
    done = call(words)
    assert done.exit_code == 2 and "Commands:" in done.output and "error" not in done.output


def test_a_click_without_an_error_for_help_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As 8.1, the lowest that is asked for."""
    monkeypatch.delattr(click.exceptions, "NoArgsIsHelpError", raising=False)
    wrong = CliRunner().invoke(main, ["ls", "--nonsense"])
    assert wrong.exit_code == 2 and wrong.stderr.startswith("error: no such option")
    checked = CliRunner().invoke(main, ["check", str(THEIRS[0])])  # ends by sys.exit
    assert checked.exit_code == 0 and "8 of 8 points hold" in checked.stdout


def test_examples_fit_a_terminal_and_stay_what_they_are() -> None:
    call = (
        'predict record.json photos "more/* --no.png" --classes "red cat,blue dog" --top 2 > a.csv'
    )
    text = examples(call)
    lines = text.splitlines()[2:]
    assert len(lines) == 2 and all(len(line) <= 78 for line in lines)
    assert lines[0].endswith('photos "more/* --no.png" \\')  # no option without its value
    joined = "\n".join(lines).replace("\\\n", "")
    assert shlex.split(joined) == shlex.split(f"promptbench {call}")


def test_an_unknown_name_among_hundreds_lists_none_of_them() -> None:
    done = call("info NOSUCH")
    assert done.exit_code == 2 and len(done.output) < 200
    assert "unknown name 'NOSUCH'; none of" in done.output and "promptbench ls" in done.output
    near = call("info coopp").output
    assert "did you mean 'coop' or" in near and "promptbench ls" not in near
