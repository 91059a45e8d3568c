"""Commands for people: ``python -m dynamokv demo | member | status | inspect | abandon``.

Rules:
    - Whatever goes wrong is one line on stderr: exit 2 for arguments and settings, 1 for the rest.
    - Results go to stdout, which may be a pipe that the reader closes early.
    - Only public names of the library are used, so that every command can be copied by an
      application; but for ``inspect`` and ``abandon``, which are about what no application has to
      know.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from dynamokv import DynamoKVError, UsageError, __version__
from dynamokv.cli import abandon, demo, inspect, member, status

PROGRAM = "dynamokv"
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
"""128 and the number of SIGINT, as shells count."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where the help is."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit status."""
    try:
        arguments = _parser().parse_args(argv)
        run: Callable[[argparse.Namespace], int] = arguments.run
        code = run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as ended:  # argparse has said why; after SIGTERM there is nothing to say
        return ended.code if isinstance(ended.code, int) else EXIT_FAILED
    except BrokenPipeError:
        _close_stdout()
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except UsageError as error:
        return _failed(error, EXIT_USAGE)
    except DynamoKVError as error:
        return _failed(error, EXIT_FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM, description="A key-value store that lives inside Python applications."
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for module in (demo, member, status, inspect, abandon):
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _failed(error: DynamoKVError, code: int) -> int:
    print(f"{PROGRAM}: {type(error).__name__}: {error}", file=sys.stderr)
    return code


def _close_stdout() -> None:
    """Whoever read our output has gone; without this the interpreter complains as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
