"""The commands in docs/extending/method.md do what the text around them says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def commands() -> str:
    """All commands of the walk through a method, in order."""
    page = (ROOT / "docs" / "extending" / "method.md").read_text()
    return "\n".join(re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment that sees everything installed here, and that pip may change."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = [path for path in sys.path if path.endswith("site-packages")]
    major, minor = sys.version_info[:2]
    own = folder / "lib" / f"python{major}.{minor}" / "site-packages"
    # addsitedir, unlike a bare path, also reads the .pth files of editable installations.
    lines = [f"import site; site.addsitedir({path!r})" for path in packages]
    (own / "everything.pth").write_text("\n".join([*lines, str(ROOT)]) + "\n")
    for name, module in (("promptbench", "promptbench.cli"), ("pytest", "pytest"), ("pip", "pip")):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {module} "$@"\n')
        script.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(folder),
        # Everything needed is there: pip has nothing to fetch.
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "COLUMNS": "160",
    }


@pytest.mark.long
def test_the_walk_through_a_method_works(environment: dict[str, str], tmp_path: Path) -> None:
    script = commands()
    assert script.count("promptbench run") == 2 and "pip install -e ." in script
    done = subprocess.run(
        ["bash", "-euxc", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    assert "2 passed" in output  # the package's own tests
    assert re.search(r"(\d+) of \1 points hold", output)  # promptbench check
    assert "promptbench-my-method 0.1.0" in output  # ls methods, once it is installed
    assert "MyMethod" in output and output.count("valid  runs") == 4  # two records a protocol
