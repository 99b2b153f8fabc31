"""What plugins are written in, and the registries that find them."""
