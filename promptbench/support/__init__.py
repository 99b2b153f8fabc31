"""Helpers of all rooms: sentences, safe text, random streams, signals, errors of GPUs."""
