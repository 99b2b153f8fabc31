"""Worker processes: what they have to say reaches the user through the parent."""

from __future__ import annotations

import multiprocessing
import warnings

import pytest

from promptbench.support.compat import MISMATCH
from promptbench.support.surroundings import tell_warnings
from promptbench.tracking.remote import Remote


def test_warnings_of_a_worker_are_notes_of_the_parent() -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as in a process of its own
        tell_warnings(Remote(theirs).message)
        warnings.warn(MISMATCH, stacklevel=1)  # the parent has said it
        warnings.warn("the cache is full", stacklevel=1)
    theirs.close()
    assert ours.recv() == ("message", ("note: the cache is full",))
    with pytest.raises(EOFError):
        ours.recv()
