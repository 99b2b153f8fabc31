"""The local log, read by whoever trusts it no further than any file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from promptbench.errors import UserError
from promptbench.tracking import jsonl


def test_a_log_of_a_stranger_is_read_within_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(
        "[" * 100_000 + "\n" + "9" * 10_000 + '\n{"event": "started", "training": "t"}\n'
        '{"event": "epoch", "epoch": 1, "norms": {"a": 1.0}}\n'
    )
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    places = [log, tmp_path / "fifo", tmp_path / "zero"]
    assert jsonl.norms_of(places) == {"t": {0: {"a": 1.0}}}
    monkeypatch.setattr(jsonl, "_MOST_BYTES", 10)
    with pytest.raises(UserError, match=r"cannot read the log .*larger than 10 bytes"):
        jsonl.norms_of([log])
