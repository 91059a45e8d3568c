"""What a process that is not ready yet waits for, in words: whom it asked, who said what, and what
people can do about it.

It only looks. It must not change anything, nor know how long anybody is willing to wait.
"""

from __future__ import annotations

from dynamokv.protocol.membership.formation import Seeker, founding_seed
from dynamokv.protocol.membership.giving import ABOUT_DAMAGE, GUIDE
from dynamokv.protocol.membership.lifecycle import Lifecycle
from dynamokv.protocol.membership.transfer import Fill
from dynamokv.protocol.state.home import Home
from dynamokv.ring.topology import Topology
from dynamokv.types import NodeId

GONE = "if the whole ring is gone, start this process again"
TWO_LOST = f"if its data is lost, too, see 'Two members that lost their data' in {GUIDE}"


def why_not_ready(life: Lifecycle) -> str:
    """What this member waits for."""
    home, topology = life.home, life.home.topology
    if life.seeker is not None:
        return f"{_asked(life.seeker)}. {_to_do(home, life.seeker)}"
    assert topology is not None
    if life.newcomer.fill is not None:
        return _copying(home, topology, life.newcomer.fill)
    first, mine = topology.members[0], topology.member(home.node_id)
    if mine is not None and mine.address != home.settings.address:
        return (
            f"the ring knows this member at {mine.address}, and it is at {home.settings.address} "
            f"now: the first member, at {first.address}, has to be up to write that down"
        )
    return "the disk has not taken this member's identity yet"


def _asked(seeker: Seeker) -> str:
    answers = [
        f"{seed.decode()} ({seeker.said.get(seed, 'no answer')})" for seed in sorted(seeker.seeds)
    ]
    return f"no place in a ring; asked: {', '.join(answers) or 'nobody'}"


def _to_do(home: Home, seeker: Seeker) -> str:
    if seeker.decider:
        return (
            f"The member at {seeker.decider} decides about this place: it has to be up, and what "
            f"it waits for, as it says, has to come; {TWO_LOST}; {GONE}"
        )
    if seeker.found_a_ring:
        return f"A member of the ring has told it to wait, and has to be up; {GONE}"
    now = home.clock.monotonic()
    if now < seeker.hearsay_ends:
        return (
            "Others wait for a place in a ring that this process does not reach, and no other ring "
            "is founded meanwhile: start its members; or, if the whole ring is gone, start those "
            "again that wait for it"
        )
    if not seeker.founder:
        return (
            f"The seed with the least address, {founding_seed(home)}, founds the ring: is it "
            "running, can it be reached from here, and does every list have the same seeds?"
        )
    if not seeker.asked_enough(now):
        return (
            "This seed has the least address, so it founds the ring, and only when more than half "
            "of the seeds know of none, since it may have lost its data: start the others; or, to "
            "found a ring without them, set expect_members=1, but only if this ring never had data"
        )
    have = 1 + len(seeker.candidates)
    return (
        f"This process founds the ring with expect_members={seeker.expected}, and {have} of them "
        "are here: start the others, with the same seeds"
    )


def _copying(home: Home, topology: Topology, fill: Fill) -> str:
    """A place it has, and not yet its copy."""
    done, damaged = fill.done(), fill.damaged()
    sources = []
    for peer in fill.sources:
        member = topology.member(NodeId(peer))
        assert member is not None
        if peer in done:
            state = "read to the end"
        elif peer in damaged:
            state = f"its {damaged[peer]}"
        elif peer in home.linked:
            state = "there, and not read to the end"
        else:
            state = "not reached"
        sources.append(f"{member.address} ({state})")
    to_do = f"; where something cannot be read, {ABOUT_DAMAGE}" if damaged else ""
    return (
        f"it has its place in the ring, and copies what belongs there: {fill.rows} rows so far, "
        f"from {', '.join(sources)}. Start those that are missing, and this one again on the same "
        f"data directory, with a longer timeout{to_do}; {TWO_LOST}"
    )
