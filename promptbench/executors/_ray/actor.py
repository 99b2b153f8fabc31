"""What Ray starts on each node: it answers tokens, starts a hand and passes on what that reports.

Arguments and results are text, bytes, numbers, lists and dicts. It computes nothing itself, so that
it answers at once, and what dies of a cell is the hand.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptbench.support.version import __version__
from promptbench.workers.handing_out import shared_folder, unpacking
from promptbench.workers.handing_out.unpacking import Sent

EXITED = "exited"
LOG = "log.txt"  # what a command has printed
_WITH_FILES = ("cell_ended", "cell_failed", "saved")
_GRACE = 30.0  # seconds that the hand has to save in
_TAIL = 2000  # characters of what a hand has printed, for whoever asks why it ended
_SHELL = 'exec "$@"'
_HAND = "promptbench.workers.handing_out.hand"


def run_command(
    command: Sequence[str], folder: str, files: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Run a command of promptbench on a folder, with the GPU that Ray has set.

    Args:
        command: its arguments, the folder among them. Where this machine does not see that folder,
            the command gets another one with the same files.
        folder: as the machine that asks has it.
        files: what lies in it, by name.

    Returns:
        What the command has left there, by name, where the folder is not seen from here.
    """
    if all(_is_here(Path(folder) / name, data) for name, data in files.items()):
        _run_logged(command, Path(folder))
        return {}
    with tempfile.TemporaryDirectory(prefix="promptbench-ray-") as name:
        place = Path(name)
        for each, data in files.items():
            (place / each).write_bytes(data)
        _run_logged([name if word == folder else word for word in command], place)
        left = {path.name: path for path in place.iterdir() if path.is_file()}
        return {each: path.read_bytes() for each, path in left.items() if each not in files}


def _is_here(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _run_logged(command: Sequence[str], folder: Path) -> None:
    with (folder / LOG).open("ab") as log:
        subprocess.run([sys.executable, *command], stdout=log, stderr=log)


class RayHand:
    """One worker on one node, with the GPU that Ray has set."""

    def __init__(self, scratch: str | None) -> None:
        base = None
        if scratch is not None:
            base = Path(os.path.expandvars(scratch)).expanduser()
            base.mkdir(parents=True, exist_ok=True)
            os.environ["PROMPTBENCH_CACHE"] = str(base / "cache")
        self._folder = Path(tempfile.mkdtemp(prefix="promptbench-ray-", dir=base))
        self._out = self._folder / "runs"
        self._process: subprocess.Popen[bytes] | None = None
        self._events: list[dict[str, Any]] = []
        self._seen = self._given = 0
        self._news = threading.Condition()

    def look(self, folder: str, token: str, name: str) -> dict[str, str]:
        """Answer a token in a folder, if it is there; what this worker is."""
        seen = shared_folder.answer(Path(folder), token, name)
        return {
            "seen": "yes" if seen else "no",
            "host": platform.node(),
            "promptbench": __version__,
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        }

    def start(self, sent: Sequence[Any], given: Mapping[str, Any]) -> None:
        """Start the hand on an order.

        Args:
            sent: its text, files and cards.
            given: `out`, the folder that is shared ("": one of its own); `device`, `norms`, `setup`
                as the profile has it.
        """
        if self._process is not None:  # the answer to the first call was lost
            return
        sends = not given["out"]
        self._out = self._out if sends else Path(given["out"])
        plan = unpacking.unpacked(Sent(*sent), self._folder, self._out, given["device"])
        mine, theirs = os.pipe()
        options = {"plan": str(plan), "reports": theirs, "norms": given["norms"], "sends": sends}
        # -P: no module of the folder in which somebody has typed `ray start`.
        command = [sys.executable, "-P", "-m", _HAND, json.dumps(options)]
        if given["setup"]:
            command = ["bash", "-c", "\n".join([*given["setup"], _SHELL]), "bash", *command]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(theirs,),
                start_new_session=True,  # what ends this process leaves it time to save
            )
        os.close(theirs)
        threading.Thread(target=self._listen, args=(mine,), daemon=True).start()

    def events(
        self, seen: int, seconds: float, given: Mapping[str, Any] | None
    ) -> list[dict[str, Any]]:
        """What has happened, but for the first `seen` events, which have arrived.

        A call whose answer was lost can be repeated: nothing is forgotten or done twice.

        Args:
            seconds: at most so long it waits for something.
            given: cells to compute, once the hand has nothing to do: a `number` of the task, `ids`,
                and `files` of their training.
        """
        with self._news:
            del self._events[: seen - self._seen]
            self._seen = max(seen, self._seen)
            if given is not None and given["number"] > self._given:
                self._given = given["number"]
                self._give(given["ids"], given["files"])
            self._news.wait_for(lambda: self._events, seconds)
            return list(self._events)

    def _give(self, ids: Sequence[str], files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            path = self._out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(list(ids)).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # its end is reported

    def stop(self) -> None:
        """Let the hand save what it is at and end; `events` has what it says, at last its exit."""
        if self._process is not None:
            self._process.terminate()

    def close(self) -> None:
        """End the hand, and remove what is left of it here."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self, handle: int) -> None:
        with os.fdopen(handle, encoding="utf-8") as reports:
            for line in reports:
                event, facts = json.loads(line)
                sums = next((fact for fact in facts if isinstance(fact, dict)), {})
                names = sums if event in _WITH_FILES else ()
                files = {name: (self._out / name).read_bytes() for name in names}
                self._add({"event": event, "facts": facts, "files": files})
        assert self._process is not None
        code = self._process.wait()
        last_line = self._printed()[-_TAIL:].strip().rpartition("\n")[2]
        shutil.rmtree(self._folder, ignore_errors=True)  # whatever ends this process from now on
        self._add({"event": EXITED, "facts": [code, last_line], "files": {}})

    def _printed(self) -> str:
        log = self._folder / "log"
        return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""

    def _add(self, event: dict[str, Any]) -> None:
        with self._news:
            self._events.append(event)
            self._news.notify_all()
