"""Golden values: where data lies and what dots are called, fixed for ever.

A failure here is not repaired by new values. It means that members of two versions would look for
the same key in two places.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dynamokv.ring.hashing import partition_of, tokens_of
from dynamokv.ring.placement import place
from dynamokv.ring.topology import Topology
from dynamokv.types import NodeId
from tests.ring.rings import digest, ring

ROOT = Path(__file__).resolve().parents[2]
NODE = NodeId(bytes(range(16)))


@pytest.mark.parametrize(
    ("key", "seed", "partitions", "partition"),
    [
        (b"", 0, 256, 45),
        (b"user:1", 0, 256, 59),
        (b"user:1", 1, 256, 92),
        (b"user:1", 2**64 - 1, 256, 28),
        (b"user:1", 1, 32_768, 11826),
        (b"k" * 1024, 7, 1024, 724),
    ],
)
def test_partition_of(key: bytes, seed: int, partitions: int, partition: int) -> None:
    assert partition_of(key, seed, partitions) == partition


def test_tokens_of() -> None:
    assert tokens_of(NODE, 7, 3) == (0x1F250EA7ECE22DFF, 0x83534218D279BF6C, 0x277219F68A2CA7C9)
    assert tokens_of(NODE, 7, 300)[299] == 0xDB9BA781FB57FF9E


RINGS: list[tuple[Topology, str]] = [
    (ring(3), "f3ed4295420029f2fd3a4aec5606d2d3"),
    (ring(7, seed=2**63), "97edde723fec08f9b969edd6de9a086e"),
    (ring(96), "3189bf85615f9f9449d9ab2d12c1c316"),
    (
        ring(10, n=5, zone=lambda i: "aaabbc "[i % 7].strip(), weight=lambda i: 1 + i % 3),
        "a50157ae96f627ab1186a937c9ea7b3c",
    ),
]


@pytest.mark.parametrize(("topology", "expected"), RINGS)
def test_placement(topology: Topology, expected: str) -> None:
    assert digest(place(topology)) == expected


def test_processes_agree() -> None:
    """Whatever their salt for the built-in hash is."""
    code = (
        "from tests.ring.rings import *\n"
        "from dynamokv.ring.placement import place\n"
        "print(hash('salted'), digest(place(ring(20, zone=lambda i: 'abcd'[i % 4]))))\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": salt, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for salt in ("1", "2")
    ]
    assert outputs[0][0] != outputs[1][0], "the salt made no difference, so nothing was tested"
    assert outputs[0][1] == outputs[1][1] == digest(place(ring(20, zone=lambda i: "abcd"[i % 4])))
