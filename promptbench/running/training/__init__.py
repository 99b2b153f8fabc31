"""The training of a cell: the method it starts from, its steps, snapshots, what it learns."""
