"""Cells that a driver hands out to workers which may not see the output folder."""
