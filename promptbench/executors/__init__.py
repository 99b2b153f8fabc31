"""Executors: where the cells of a run are computed; one module for each, found by its name."""
