"""Data cards: what a dataset is, and what is found wrong with one."""
