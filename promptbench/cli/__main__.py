"""`python -m promptbench.cli`."""

from promptbench.cli import main

main()
