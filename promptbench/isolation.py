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
from typing import Any, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


@functools.cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="method")


def isolated(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of a call that is made on another, otherwise empty, call stack.

    It computes with as many CPU threads as the caller would (sums depend on their number). Other
    thread-local modes of torch (autocast, gradient mode) must be entered inside `function`.
    """
    return _thread().submit(_with_threads, torch.get_num_threads(), function, args, kwargs).result()


def _with_threads(
    count: int, function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> R:
    if torch.get_num_threads() != count:  # the number is a thread's own, once it has computed
        torch.set_num_threads(count)
    return function(*args, **kwargs)
