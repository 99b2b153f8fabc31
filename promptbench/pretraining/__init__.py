"""How the weights of the embedded demo were made; nothing of it takes part in runs."""
