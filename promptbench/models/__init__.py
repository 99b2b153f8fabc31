"""Frozen models: loading them, the towers that methods edit, what is seen from inside."""
