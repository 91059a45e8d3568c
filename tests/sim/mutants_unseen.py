"""Mutants that no campaign finds today, and why: each is a safeguard that is not needed yet, or a
test that is missing. They are hunted when they are named, and not by default.
"""

from __future__ import annotations

from typing import Final

REDUNDANT: Final[dict[str, str]] = {
    "every refusal of an epoch sends a write again": (
        "a write that was minted is only sent again, and a join twice is one join; a write that is "
        "passed on waits for one owner, so a second refusal is a repeated frame, and no transport "
        "repeats any"
    ),
    "a request of an older epoch is served": (
        "members only come, one at a time, so the quorums of nearby epochs meet by their sizes; "
        "it will be needed once partitions move"
    ),
    "a request of a newer epoch is served": "as above: sizes alone make the quorums meet",
    "an answer that writes nothing does not wait": (
        "what is acknowledged without being written is visible already, and so on the disk; "
        "whatever is not is written once more"
    ),
    "a new log's name is not synced": (
        "without threads the flush that follows a rotation syncs the directory before anything is "
        "acknowledged; with threads it does not"
    ),
    "own old writes prove amnesia": (
        "a new actor is minted too often, which costs room in contexts and nothing else; "
        "protocol/state/test_horizons.py shows the rule"
    ),
}
"""Another safeguard stands behind these, as things are now."""

UNSEEN: Final[dict[str, str]] = {}
"""These break something that plans do not reach, or checkers do not look at."""
