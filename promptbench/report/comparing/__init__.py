"""Methods against each other: two side by side, and all by their ranks."""
