"""Data cards: one TOML per dataset; see `promptbench.data.cards.cards` for what they must say."""
