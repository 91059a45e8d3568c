"""``python -m tests.sim.mutants [NAME...]``: take safeguards out of the product, one at a time, and
see how many seeds it takes until a campaign finds it.

A safeguard that no seed misses is either not needed or not tested. Those of which that is known
(``mutants_unseen``) are hunted only by name.
"""

from __future__ import annotations

import argparse
import os
import sys

from dynamokv.testing.campaign.many import quietly
from tests.sim.mutants_run import MUTANTS, hunt_all
from tests.sim.mutants_unseen import REDUNDANT, UNSEEN

SEEDS = 2_000


def main(arguments: list[str]) -> int:
    """The exit code: 0 when no mutant survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="at most, for each")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--list", action="store_true", help="only say what they are")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of mutants")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in MUTANTS]
    if unknown:
        parser.error(f"no such mutant: {', '.join(unknown)}; see --list")
    unseen = REDUNDANT | UNSEEN
    names = options.names or [name for name in MUTANTS if options.list or name not in unseen]
    mutants = [MUTANTS[name] for name in names]
    if options.list:
        for mutant in mutants:
            sys.stdout.write(f"{mutant.name}\n    {mutant.rule}\n")
            if mutant.name in unseen:
                sys.stdout.write(f"    not found today: {unseen[mutant.name]}\n")
        return 0
    quietly()
    seeds = range(options.first, options.first + options.seeds)
    return hunt_all(mutants, seeds, options.jobs, sys.stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
