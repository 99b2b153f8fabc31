"""Data cards: one TOML per data set; see `promptbench.data.cards` for what they must say."""
