"""Calling a method so that it finds nothing but what it was passed.

A method is told class names, a template and images. The caller knows more: the protocol, the
target, labels. Called from a thread of its own, a method that walks the call stack meets the
thread's start and its own arguments, and nothing of the caller. This stops a look around, not an
attack: Python hides no object from code that walks the whole heap or other threads' frames.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@functools.cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="method")


def isolated(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of a call that is made on another, otherwise empty, call stack.

    Thread-local modes of torch (autocast, gradient mode) must be entered inside `function`.
    """
    return _thread().submit(function, *args, **kwargs).result()
