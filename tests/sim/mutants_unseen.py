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
    "a new log's name is not synced": (
        "without threads the flush that follows a rotation syncs the directory before anything is "
        "acknowledged; with threads it does not"
    ),
}
"""Another safeguard stands behind these, as things are now."""

UNSEEN: Final[dict[str, str]] = {
    "a record that cannot be read is forgotten quietly": (
        "the history reads what a coordinator held a second time, with a disk that works, and "
        "believes that the coordinator saw it"
    ),
    "a newcomer says it is whole at once": (
        "one page holds all rows of a run, and is there before the newcomer can say anything: "
        "plans need smaller pages"
    ),
    "a newcomer is whole after one source": "as above: smaller pages",
    "a page that was not stored counts": (
        "as above; and a crash begins the copy anew, so only a refusal by the disk shows it"
    ),
    "a newcomer that is being filled counts": (
        "takes an even number of members, a newcomer that is lost after its answer counted, and "
        "another member that is away while the next one is filled"
    ),
    "who was late itself blames the others": (
        "a process that goes on after a pause looks at what came in before it looks at its timers, "
        "so every answer is there in time; protocol/test_liveness_answers.py shows the rule"
    ),
    "a copied directory is let in": (
        "no checker says that a copy must not be ready while its original can be reached"
    ),
}
"""These break something that plans do not reach, or checkers do not look at."""
