"""``dynamokv inspect``: a file of a data directory, in words."""

from __future__ import annotations

import argparse
from pathlib import Path

from dynamokv.storage.lsm.inspect import DAMAGE, inspect

HELP = "print a file of a data directory: a log, a table, a manifest"
EXIT_DAMAGED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("file", type=Path, nargs="+", metavar="FILE", help="file to print")
    parser.add_argument("--rows", action="store_true", help="every row as well")


def run(arguments: argparse.Namespace) -> int:
    """Print. Exit status 1 when something is damaged."""
    damaged = False
    for path in arguments.file:
        print(f"{path}:")
        for line in inspect(path, rows=arguments.rows):
            damaged = damaged or line.startswith(DAMAGE)
            print(f"  {line}")
    return EXIT_DAMAGED if damaged else 0
