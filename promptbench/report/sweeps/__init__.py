"""Sweeps of settings as tables and figures."""
