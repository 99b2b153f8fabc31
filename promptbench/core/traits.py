"""What the class of a method says of it: read without building it, and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptbench.core.method import Method

CLASS_TEXTS = "class texts"  # what records call sentences about the classes


def has_solver(method: type[Method]) -> bool:
    """Whether the method learns by a solver of its own instead of gradient steps."""
    return _offers(method, "solve")


def starts_from_images(method: type[Method]) -> bool:
    """Whether the method takes something of all training images before its first step."""
    return _offers(method, "start_from")


def sees_images(method: type[Method]) -> bool:
    """Whether the method is shown all training images at once: to solve, or to start from."""
    return has_solver(method) or starts_from_images(method)


def passes_of(method: type[Method], parameters: Mapping[str, Any]) -> int:
    """How often a method with these parameters is shown the training images augmented; 0: once,
    under the test transform."""
    return int(parameters.get("passes", method.passes))


def uses_class_texts(method: type[Method], parameters: Mapping[str, Any]) -> bool:
    """Whether a method with these parameters uses sentences about the classes."""
    return bool(parameters.get("class_texts", method.class_texts))


def extra_data_of(method: type[Method], parameters: Mapping[str, Any]) -> str:
    """What a method with these parameters learns from beyond the few shots; "none" if nothing."""
    own = [] if method.extra_data == "none" else [method.extra_data]
    if uses_class_texts(method, parameters) and CLASS_TEXTS not in method.extra_data:
        own.append(CLASS_TEXTS)
    return ", ".join(own) or "none"


def stated_parameters(method: type[Method], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A method's parameters without younger ones that mean what was before."""
    younger = method.younger
    return {k: v for k, v in parameters.items() if k not in younger or v != younger[k]}


def has_decoupled_inference(method: type[Method]) -> bool:
    """Whether the method's paper uses split knowledge at test time and the plugin offers it."""
    return _offers(method, "logits_decoupled")


def _offers(method: type[Method], name: str) -> bool:
    """Whether it defines a function of one of the contract's doors (`Solver`, `Starter` ...)."""
    return callable(getattr(method, name, None))
