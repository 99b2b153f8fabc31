"""What workers of a machine profile see, for `promptbench machine check`."""
