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
        "protocol/test_horizons.py shows the rule"
    ),
}
"""Another safeguard stands behind these, as things are now."""

UNSEEN: Final[dict[str, str]] = {
    "old writes come in after all": (
        "not within 60 seeds, of which two let such a write come at all; sim/test_collecting.py "
        "and protocol/test_horizons.py show the rule"
    ),
    **dict.fromkeys(
        (
            "the clock does not follow the horizon",
            "a member that is behind is merged",
            "a store that forgot keeps its horizons",
            "rounds wait for nobody",
            "fences stay up",
            "a newcomer does not ask below what time nobody writes",
            "hints do not hold a round up",
        ),
        "not hunted yet; tests in protocol/ show each rule",
    ),
    "a replacement counts for reads while it is filled": (
        "takes a write that the lost member and one other had, a third that missed it and got no "
        "hint, and a read through the third while the replacement waits for that other one; "
        "issues/test_members_in_memory.py shows what is lost then"
    ),
    "a replacement that is away loses its place": (
        "takes a newcomer that asks for a place for ten seconds while a replacement is away, and "
        "chaos lasts eight; protocol/test_replacing.py shows the rule"
    ),
    "who was late itself blames the others": (
        "a process that goes on after a pause looks at what came in before it looks at its timers, "
        "so every answer is there in time; protocol/test_liveness_answers.py shows the rule"
    ),
    "a hint goes though it changed": (
        "a write comes between a page and its acknowledgement only while its coordinator takes the "
        "target for down and the holder does not, and then the coordinator owes it as well; "
        "protocol/test_handoff.py shows the rule"
    ),
}
"""These break something that plans do not reach, or checkers do not look at."""
