"""How much methods depend on their settings, from the trials of searches: tables and figures."""
