"""Trackers: they hear what happens during a run, and show it, log it or send it somewhere."""

from promptbench.tracking.listener import Epoch, Listener, Listeners
from promptbench.tracking.tracker import Tracker, TrackerOptions

__all__ = ["Epoch", "Listener", "Listeners", "Tracker", "TrackerOptions"]
