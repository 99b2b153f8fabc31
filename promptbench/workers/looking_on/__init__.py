"""Those who look on: how plans stand, who is at what, and asking workers to stop."""
