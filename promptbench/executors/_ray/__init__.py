"""What the executor `ray` is made of: Ray itself, shares of nodes, workers, their crew."""
