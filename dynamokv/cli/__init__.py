"""The command line: ``python -m dynamokv``."""

from dynamokv.cli.commands import main

__all__ = ["main"]
