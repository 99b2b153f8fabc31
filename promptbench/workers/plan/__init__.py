"""The folder of a plan: the plan file, what it pins, its cells, what engines were given."""
