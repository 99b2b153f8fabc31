"""Data cards: one TOML per data set; see `promptbench.data.cards.cards` for what they must say."""
