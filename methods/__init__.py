"""Methods: one module and one gin file each. Modules with a leading underscore are shared parts."""
