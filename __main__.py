"""Run the command line: ``python -m cubicwall``."""

from .cli import main

main()
