"""Working through the cells of a plan: train, predict, record; and what keeps that going."""
