"""``python -m dynamokv.testing.campaign``: play seeds, and say what they found."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from dynamokv.testing.campaign.many import Campaign, quietly, run_campaign, run_one
from dynamokv.testing.campaign.plan import OPERATIONS_PER_SECOND, SECONDS
from dynamokv.testing.campaign.run import play


def main(arguments: list[str]) -> int:
    """The exit code: 0 when nothing was found."""
    parser = argparse.ArgumentParser(
        prog="python -m dynamokv.testing.campaign", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=1_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of chaos, simulated")
    parser.add_argument(
        "--rate", type=float, default=OPERATIONS_PER_SECOND, help="requests a second"
    )
    parser.add_argument("--folder", type=Path, default=Path("sim-findings"), help="for traces")
    parser.add_argument("--fingerprints", action="store_true", help="print one for each seed")
    options = parser.parse_args(arguments)
    campaign = Campaign(
        first=options.first if options.seed is None else options.seed,
        seeds=options.seeds if options.seed is None else 1,
        jobs=options.jobs,
        seconds=options.seconds,
        operations_per_second=options.rate,
        folder=options.folder,
    )
    if options.fingerprints:
        quietly()
        for seed in range(campaign.first, campaign.first + campaign.seeds):
            sys.stdout.write(f"{seed} {play(campaign.plan(seed)).fingerprint}\n")
        return 0
    if options.seed is not None:
        return run_one(campaign, sys.stdout)
    return run_campaign(campaign, sys.stdout)


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stdout.write("\ninterrupted\n")
        code = 128 + signal.SIGINT
    sys.exit(code)
