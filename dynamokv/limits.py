"""Every bound of the library: its name, its value, its reason.

A queue, a loop or a buffer without an entry here is a bug. What an operator may want to change is a
field of ``config.NodeConfig`` instead, with its default taken from here. What bounds nothing, and
says only how one file measures, stands in that file.
"""

from __future__ import annotations

from typing import Final

KiB: Final = 1024
MiB: Final = 1024 * KiB

# --- what a caller hands in -----------------------------------------------------------------------

KEY_BYTES_MAX: Final = 1024
"""A key, encoded. Keys live in every index and in every message, so they must stay small."""

VALUE_BYTES_MAX: Final = 1 * MiB
"""A value, encoded. Above this a record holds up the frames of its neighbours, and a blob store
does better."""

VALUE_DEPTH_MAX: Final = 100
"""Nesting of lists and dicts in a value: far above real data and below Python's recursion limit."""

BUCKET_NAME_BYTES_MAX: Final = 64
"""A bucket's name, encoded; it stands in front of each of its keys, behind a length of one byte."""

BATCH_ITEMS_MAX: Final = 10_000
"""Keys in one batch call. More is a loop in the application, which can then see progress and
errors."""

BATCH_GROUP_BYTES: Final = 256 * KiB
"""Rows of a batch that share one message. Small enough that a frame delays no heartbeat much."""

BATCH_GROUP_ITEMS: Final = 512
"""Keys of a batch that share one message, so that a replica answers it in about a millisecond."""

# --- versions -------------------------------------------------------------------------------------

SIBLINGS_MAX: Final = 64
"""Default of ``sibling_cap``: a put with an old context that would pass it is refused. Repair is
never refused."""

RECORD_BYTES_MAX: Final = 8 * MiB
"""All siblings of a key together, at a put; the same rule as ``SIBLINGS_MAX``, in bytes. Three
owners that each reach it while cut off from each other still join into a record that fits
``FRAME_BYTES_MAX``."""

CLOCK_DRIFT_MAX_MS: Final = 10_000
"""A stamp further ahead than this is refused, so that one bad clock cannot drag every other into
the future."""

CLOCK_CEILING_STEP_MS: Final = 8_000
"""How far ahead of now the durable clock ceiling is raised, when half of it is used up. Below
``CLOCK_DRIFT_MAX_MS``, because a node that restarts at once starts at its ceiling, and its peers
must not find that too far ahead."""

# --- ring -----------------------------------------------------------------------------------------

PARTITIONS_DEFAULT: Final = 512
"""Enough that no member of a ring of up to 100 equal ones owns more than 1.10 times the mean (256
would miss that at 85, 94 and 95, for want of a fraction of a partition), few enough to keep one
tree for each in memory."""

PARTITIONS_MAX: Final = 32_768
"""Partition numbers are two bytes on disk, and the top half is kept for the store's own rows."""

MEMBERS_MAX: Final = 1024
"""Members of a ring: every one holds a link to every other."""

REPLICAS_MAX: Final = 9
"""Copies of a key. Above this, writes cost more than any real failure rate asks for."""

LOAD_FACTOR: Final = 1.10
"""No member owns more than this times its fair share of partition replicas (bounded-load consistent
hashing, Mirrokni, Thorup, Zadimoghaddam 2016)."""

VNODES_PER_WEIGHT: Final = 64
"""Tokens on the ring for each unit of weight: evens out neighbours, so that a lost member's load
spreads."""

# --- wire -----------------------------------------------------------------------------------------

FRAME_BYTES_MAX: Final = 64 * MiB
"""The largest frame that a socket accepts: a record of three diverged owners (24 MiB) with room to
spare."""

FRAME_BYTES_TARGET: Final = 256 * KiB
"""A peer's outgoing messages are cut into frames of about this size: a heartbeat waits behind one
frame, not behind all."""

ANSWER_BYTES_MAX: Final = 4 * MiB
"""Records in one answer to a read, at least one: whoever asked for more asks again for the rest. A
frame above ``FRAME_BYTES_MAX`` would cost the connection, and one that takes seconds looks like a
frozen peer."""

MESSAGES_PER_FRAME_MAX: Final = 4096
"""Messages in one frame, so that decoding one holds the loop for no more than some milliseconds."""

CBOR_DEPTH_MAX: Final = 16
"""Nesting of a message on the wire. Messages need 4."""

TEXT_BYTES_MAX: Final = 1024
"""A text field of a message."""

DURATION_MS_MAX: Final = (1 << 44) - 1
"""A time to live, or the time left for a request; 557 years: as many bits as a hybrid time has for
milliseconds, so that an expiry, a moment plus this, fits 64."""

# --- requests -------------------------------------------------------------------------------------

IN_FLIGHT_MAX: Final = 16_384
"""Requests that one node or client has under way. Beyond it: ``Overloaded`` before any work."""

IN_FLIGHT_BYTES_MAX: Final = 64 * MiB
"""Names, values and answers of the requests under way, together. A put holds its values twice, as
they came and as records, so that a full node has up to twice this in memory for them."""

ANSWER_SMOOTHING: Final = 16
"""A read reserves what the answers of about so many before it brought."""

TRAILING_MAX: Final = 1024
"""Reads that were answered and wait for a late owner, to repair it. They are background: beyond
this the oldest is given up, and the next read of its key repairs."""

CREDIT_MESSAGES: Final = IN_FLIGHT_MAX
"""Questions that one node has outstanding at one peer. As many as it may have requests, so that
only a peer that is silent while others answer meets it."""

CREDIT_BYTES: Final = 32 * MiB
"""The same in bytes: what a peer that is linked but silent costs a sender, in libzmq's queue or in
the peer's own. Receive queues have no bound of their own (``transport.zeromq`` says why), so a
member holds at most this and one message for each other member and each client."""

CREDIT_PROBE_SECONDS: Final = 0.5
CREDIT_PROBE_SECONDS_MAX: Final = 30.0
"""A peer without credit is asked one question more after so long, and then after twice as long each
time, up to this, in case its answers were lost rather than late."""

HEDGE_FLOOR_SECONDS: Final = 0.001
"""No read is hedged earlier: below this, an answer is late because of this process."""

HEDGE_SHARE: Final = 0.1
"""Hedges for each read: extra work that a slow peer may cause, whatever else is wrong."""

HEDGE_BURST: Final = 20
"""Hedges saved up in peace, for the reads that were under way to a peer when it froze."""

RETRY_SHARE: Final = 0.1
"""Requests passed on once more after an owner was overloaded, for each request: retries that grow
with the load keep a ring down (Bronson and others, HotOS 2021)."""

RETRY_BURST: Final = 20
"""Such retries saved up in peace."""

BACKGROUND_BYTES_PER_SECOND: Final = 16 * MiB
"""What repair, hints and transfers may move while nobody is hindered: 5,000 rows of a KiB."""

BACKGROUND_ROW_BYTES: Final = 2 * KiB
"""What a row counts for beside its bytes: both sides work at it for some 30 us."""

BACKGROUND_BURST_SECONDS: Final = 0.125
"""Of the whole rate, that is saved up: so long may a burst be in the way of the foreground."""

BACKGROUND_PAUSE_SECONDS: Final = 0.01
"""Between two looks whether background work may go on, at least."""

BACKGROUND_FLOOR: Final = 1 / 8
"""The share that is left under the worst pressure: a ring that is never idle must heal as well."""

TRANSIT_PEERS_MAX: Final = 4096
"""Peers and clients whose clocks are compared with this node's; beyond it the oldest one goes."""

QUEUE_SECONDS: Final = 0.1
"""Every frame has waited for so long: this node does not keep up. It then refuses requests that it
would coordinate, so that those it took are answered in time (Nichols and Jacobson 2012)."""

QUEUE_INTERVAL_SECONDS: Final = 0.1
"""Over which every frame must have waited: a burst passes within it."""

PARKED_MAX: Final = 1024
"""Requests of a newer epoch that wait for the topology; beyond it they are dropped, counted, and
the sender retries."""

RESTARTS_MAX: Final = 8
"""How often one request may start again after a ``Refresh``, so that two confused members cannot
play ping-pong."""

RETURNED_PEER_SECONDS: Final = 600.0
"""For so long after a peer came back, reads also ask it, beyond their quorum, so that reading
repairs it."""

FORWARD_LATE_SECONDS: Final = 0.25
"""After so long without an answer, an owner that a request was passed on to is avoided by others,
and a read is asked of the next one too. Far above what a coordinator needs that hedges its own
reads after 30 ms."""

SLOW_MISSES_SECONDS: Final = 1.0
"""A peer that was slow for longer may have run out of credit, and missed what was not sent then."""

ANSWER_LOST_SECONDS: Final = 10.0
"""So long after its deadline an answer counts as lost, and its owner is tried again: as long as a
host is expected to hold its GIL at most."""

# --- transport ------------------------------------------------------------------------------------

DRAIN_FRAMES_MAX: Final = 256
"""Frames taken from a socket before other callbacks of the loop get their turn."""

SEND_QUEUE_FRAMES: Final = 1000
"""libzmq's high-water mark per peer: frames, not bytes; a full queue is an unreachable peer."""

CLOSE_SECONDS_MAX: Final = 2.0
"""A close ends within this, whatever the peers do."""

# --- storage --------------------------------------------------------------------------------------

SCAN_PAGE_ITEMS: Final = 128
"""Rows in one page of a transfer: one or two milliseconds on each side with nothing else."""

SCAN_PAGE_BYTES: Final = 256 * KiB
"""Bytes in one page of a transfer, at least one row."""

SCAN_RETRY_SECONDS: Final = 1.0
"""After so long without an answer, a newcomer asks for its next page again."""

SOURCE_SILENT_SECONDS: Final = 10.0
"""After so long without an answer, a copy does without a peer that it need not have read."""

# --- trees ----------------------------------------------------------------------------------------

TREE_STEP_ROWS: Final = 256
"""Rows that one step of building a tree reads: one or two milliseconds with nothing else."""

TREE_STEP_SECONDS: Final = 0.01
"""Between two of these steps: a store of 10^6 rows has its trees back within a minute, at the cost
of a sixth of a core meanwhile."""

TREE_BEGIN_ROWS: Final = 16
"""What beginning with a partition counts for in a step, in rows: about as long as that takes."""

TREE_RETRY_SECONDS: Final = 1.0
"""After a partition could not be read, so long until it is tried again; each time twice as long."""

TREE_RETRY_SECONDS_MAX: Final = 8.0
"""And the longest pause: once other owners have brought back what was lost, it gets its tree."""

TREE_CHECK_SECONDS: Final = 30.0
"""Between two partitions that are compared with the store, which reads all of their rows: a node
that owns all 512 is through in four hours."""

EXCHANGE_RETRY_SECONDS: Final = 2.0
"""After so long without an answer, an exchange asks again."""

EXCHANGE_TRIES: Final = 3
"""How often one question is sent before the exchange is given up."""

EXCHANGE_SETTLE_SECONDS: Final = 0.5
"""Between two looks at leaves that differ: writes under way have arrived by then."""

EXCHANGE_AGAIN_SECONDS: Final = 2.0
"""After an exchange that brought something, or was given up, until the next of this partition."""

EXCHANGE_ROUND_SECONDS: Final = 60.0
"""In which each partition is compared once with each of its other owners: 27 frames of 40 bytes a
second, at 512 partitions and three owners."""

EXCHANGE_BEAT_SECONDS: Final = 1.0
"""Comparisons of one round that are due within it share a frame."""

EXCHANGES_PER_PEER: Final = 8
"""Exchanges with one peer at a time: most are over with their first answer, so this is a window
over the round trip."""

EXCHANGES_MAX: Final = 32
"""Exchanges of one node at a time. Each holds a page of 4,096 keys, 4.5 MB if they are the longest
there can be."""

EXCHANGE_LISTINGS_MAX: Final = 32
"""Listings of keys that a node makes for others at a time. Beyond it they are dropped, and asked
for again."""

EXCHANGE_KEYS: Final = 128
"""Records that an exchange moves at a time, before they are durable."""

TREES_KEPT_BYTES: Final = 4 * MiB
"""Trees that a clean stop writes down, those of the most rows first: what is not kept is built
anew, and a stop must not take long."""

# --- tombstones -----------------------------------------------------------------------------------

TOMBSTONE_GRACE_SECONDS: Final = 60.0
"""A tombstone is at least as old before it is collected: no request is under way for so long."""

COLLECT_SECONDS: Final = 10.0
"""Between two rounds that collect tombstones, and two times that a member shows its horizons."""

ROUND_STEP_SECONDS: Final = 5.0
"""After so long without an answer a round is given up; the next one is not far."""

ROUND_PARTITIONS_MAX: Final = 512
"""Partitions of one round: a message of it stays below 16 KB."""

FENCE_SECONDS: Final = 12.0
"""After so long a round will not come to its end: above two of its steps."""

CATCH_UP_ROWS: Final = 128
CATCH_UP_SECONDS: Final = 2.0
"""Rows of a page that a member which is behind shows to another one, and how long it waits then."""

COLLECT_STEP_ROWS: Final = 256
COLLECT_STEP_SECONDS: Final = 0.01
"""Rows that a step of collecting looks at, a millisecond; and between two such steps."""

# --- hints ----------------------------------------------------------------------------------------

HINT_BYTES_PER_TARGET: Final = 64 * MiB
"""Default of ``hint_bytes_per_target``: marks for some 400,000 missed keys at an owner, or as much
data as a stand-in takes for one member. What is missed beyond that is found by comparing."""

HINT_BYTES: Final = 256 * MiB
"""Default of ``hint_bytes``, for all members together: no outage of others fills this disk."""

HINT_PAGE_ITEMS: Final = 128
"""Records that one message delivers; a target has one such message at a time."""

HINT_PAGE_BYTES: Final = 256 * KiB
"""Bytes of records that one message delivers, at least one record: so much a member that comes back
is sent by each of the others at once, beside its work."""

HINT_COUNT_ITEMS: Final = 2048
"""Hints that are counted at once after a start: some milliseconds of the loop."""

HINT_TICK_SECONDS: Final = 1.0
"""Between two looks at whether somebody can be given its hints. A peer's return does not wait for
it."""

HINT_ANSWER_SECONDS: Final = 5.0
"""After so long without an answer a page is sent again."""

HINT_RETRY_SECONDS_MAX: Final = 8.0
"""A page that is refused is sent again after a second, then two, and so on up to this, because a
full disk does not empty itself in a second."""

# --- forming a ring -------------------------------------------------------------------------------

SEEK_SECONDS: Final = 0.1
"""Between two questions of a process that looks for its ring."""

UPKEEP_SECONDS: Final = 1.0
"""Between two looks of a settled node at its clock ceiling, its address and what it parked."""

GOSSIP_SECONDS: Final = 5.0
"""Between two times that a member shows another its topology: who missed an announcement, because
nobody has a link to it, so learns of a newer one."""

NEWCOMER_GRACE_SECONDS: Final = 10.0
"""How long a newcomer that cannot be reached keeps its place while it is being filled, once
somebody else asks for one. Long enough for a restart."""

PLACE_QUESTIONS_MAX: Final = 64
"""Processes whose wish for a member's place is looked into at a time; the oldest one is forgotten,
and asks again if it is still there."""

FOUND_GRACE_SECONDS: Final = 1.0
"""How long a founder waits for other seeds that do not answer, in case one of them knows a ring
already."""

OLD_PLACE_SECONDS: Final = 2.0
"""How long a member that comes back elsewhere is not believed to be a copy of its own data
directory, though the link to its old address is up and nobody answers there: the heartbeats of a
link take a second and a half to find that out."""

HEARSAY_SECONDS: Final = 10.0
"""So long a founder waits after another process said that it was told of a ring. While that one is
there, it says so ten times a second; it may then be frozen for as long as a host is expected to
hold its GIL at most. Not for ever, because the ring may be gone."""
