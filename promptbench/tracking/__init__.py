"""Listeners: they are told what happens during a run, and only read."""

from promptbench.tracking.listener import Epoch, Listener, Listeners

__all__ = ["Epoch", "Listener", "Listeners"]
