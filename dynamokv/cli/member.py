"""``dynamokv member``: a member of the ring in a process that does nothing else.

It serves until SIGINT or SIGTERM and then stops cleanly: it keeps its place in the ring. The
asyncio face is used because a signal can then end a join that still waits for its ring.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from typing import Any

import dynamokv

HELP = "run a member of a ring until Ctrl-C or SIGTERM"
ENV_LOG_LEVEL = "DYNAMOKV_LOG_LEVEL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command. What is not given comes from the configuration."""
    parser.add_argument(
        "address", metavar="ADDRESS", help="host:port to bind; port 0 picks a free one"
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        metavar="HOST:PORT",
        help="where to find the ring, the same on every member; the least address founds it",
    )
    parser.add_argument("--data-dir", metavar="DIR", help="identity and data; default: memory only")
    parser.add_argument("--cluster", metavar="NAME", help="name of the ring")
    parser.add_argument("--zone", metavar="NAME", help="failure domain of this member")
    parser.add_argument("--weight", type=int, help="relative share of the data, 1 to 100")
    parser.add_argument("--durability", choices=[level.value for level in dynamokv.Durability])
    parser.add_argument("--expect-members", type=int, metavar="N", help="wait for N, then found")
    parser.add_argument("--advertise", metavar="HOST:PORT", help="where others reach this member")
    parser.add_argument(
        "--insecure", action="store_true", default=None, help="allow a bind beyond loopback"
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with any setting")
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="to get in; default: 30"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    level = os.environ.get(ENV_LOG_LEVEL, "WARNING").upper()
    if level not in logging.getLevelNamesMapping():
        raise dynamokv.ConfigError(f"{ENV_LOG_LEVEL}={level} is no level of logging")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return asyncio.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> int:
    this_task = asyncio.current_task()
    assert this_task is not None
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        for number in signals:  # once: a second Ctrl-C must not interrupt the clean stop
            loop.add_signal_handler(number, lambda: None)
        this_task.cancel()

    for number in signals:
        loop.add_signal_handler(number, stop)
    last_words = "stopped before it had a place in a ring"
    try:
        async with dynamokv.AsyncNode(
            arguments.address,
            config=arguments.config,
            timeout=arguments.timeout,
            **_given(arguments),
        ) as node:
            print(_greeting(node), flush=True)
            last_words = _farewell(node)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        print(last_words, flush=True)
    return 0


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Only what was given: the rest is left to the environment, the file and the defaults."""
    fields = (
        "data_dir", "cluster", "zone", "weight", "durability", "expect_members", "advertise",
        "insecure",
    )  # fmt: skip
    given = {name: getattr(arguments, name) for name in fields}
    if arguments.seeds:
        given["seeds"] = [seed for word in arguments.seeds for seed in word.split(",") if seed]
    return {name: value for name, value in given.items() if value is not None}


def _greeting(node: dynamokv.AsyncNode) -> str:
    status = node.status()
    states = [member["state"] for member in status["members"].values()]
    return (
        f"member {node.node_id[:8]} serves at {node.address}: ring {status['cluster']!r}, "
        f"{states.count('up')} of {len(states)} members up; data in "
        f"{node.config.data_dir or 'memory only'}"
    )


def _farewell(node: dynamokv.AsyncNode) -> str:
    if node.config.data_dir is None:
        return "stopped: without --data-dir it cannot come back, and its place stays taken"
    return f"stopped: it keeps its place, and comes back with {node.config.data_dir}"
