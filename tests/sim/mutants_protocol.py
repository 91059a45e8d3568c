"""Mutants of what members agree on: quorums, identity, topology; and, from ``mutants_versions``,
versions.

Each names the rule that its safeguard keeps; the sections are those of the protocol's rules.
"""

from __future__ import annotations

from typing import Final

from dynamokv.causality.hlc import HybridClock
from dynamokv.protocol import replica
from dynamokv.protocol.membership.formation import Driver, Seeker
from dynamokv.protocol.membership.lifecycle import Lifecycle
from dynamokv.protocol.membership.transfer import Fill
from dynamokv.protocol.node import Node
from dynamokv.protocol.requests.forward import ForwardOp
from dynamokv.protocol.requests.get import GetOp
from dynamokv.protocol.requests.table import RequestTable
from dynamokv.protocol.requests.tally import Tally
from dynamokv.protocol.state import identity
from dynamokv.protocol.state.home import Home
from dynamokv.types import replicas_needed
from tests.issues import (
    test_back_elsewhere_at_once,
    test_ring_that_a_seeker_knows,
    test_ring_that_is_gone,
    test_second_ring,
)
from tests.protocol import test_damaged_store, test_replica
from tests.sim import test_first_words
from tests.sim.mutants_patch import Edit, Mutant
from tests.sim.mutants_versions import VERSIONS
from tests.sim.shown import shown_by
from tests.sim.stale_copy import a_read_repairs

IDENTITY: Final = (
    Mutant(
        "the actor survives a crash",
        "every start that does not follow a clean stop has a new actor",
        (Edit(identity.next_life, "before.clean and not forgot", "not forgot"),),
    ),
    Mutant(
        "the actor survives a refused write",
        "once a write is known elsewhere and not here, the next dot has a new actor",
        (
            Edit(
                Node._on_write_failed,
                "self.home.writable = False\n        self.home.take_new_actor()",
                "self.home.writable = False",
            ),
        ),
    ),
    Mutant(
        "a member serves before its identity is durable",
        "nothing is minted before the identity of this life is durable",
        (
            Edit(
                Lifecycle._become_ready,
                "self.ready or not self.identified or",
                "self.ready or",
            ),
        ),
        trial=shown_by(test_first_words.test_two_lives_give_no_two_writes_the_same_name),
    ),
    Mutant(
        "time goes back with the wall clock",
        "a dot's time is above every time of its actor that was used before",
        (
            Edit(
                HybridClock.tick,
                "if time < after or time > self.ceiling:",
                "if time > self.ceiling:",
            ),
        ),
    ),
    Mutant(
        "a record that cannot be read is forgotten quietly",
        "a write that builds on nothing, because its disk failed, has a new actor",
        (
            Edit(
                Home.held,
                "self.damaged_read([key])\n        self.take_new_actor()",
                "self.damaged_read([key])",
            ),
        ),
        trial=shown_by(test_damaged_store.test_a_write_erases_nothing_that_the_others_have),
    ),
)

QUORUMS: Final = (
    Mutant(
        "an ack that comes twice counts twice",
        "only distinct owners count, each once",
        (
            Edit(
                Tally.add, "owner in self.owners and owner not in self.yes", "owner in self.owners"
            ),
        ),
    ),
    Mutant(
        "half of the owners is a quorum",
        "R + W > N, also where N is even",
        (Edit(replicas_needed, "replicas // 2 + 1", "(replicas + 1) // 2"),),
    ),
    Mutant(
        "a refusal counts as done",
        "what a replica refused, it does not hold",
        (
            Edit(
                Node._on_refused,
                "self.table.fail(message.id, peer, message.detail, untouched=True)",
                "self.table.reply(message.id, peer, message)",
            ),
        ),
    ),
    Mutant(
        "a replica says done when its disk refused",
        "what a replica acknowledges is durable there",
        (Edit(replica.serve_replicate, "Write(rows, done, failed)", "Write(rows, done, done)"),),
    ),
    Mutant(
        "a replica answers at once when nothing is new",
        "nothing new may still mean not durable yet",
        (
            Edit(
                replica.serve_replicate,
                "joined = home.under_way(key)",
                "return [Send(peer, Replicated(message.id))]",
            ),
        ),
    ),
    Mutant(
        "what is under way is not written again",
        "a promise that counts on a write whose disk may yet refuse it writes it as well",
        (Edit(replica.serve_replicate, "joined = home.under_way(key)", "pass"),),
        trial=shown_by(test_replica.test_what_a_disk_refused_is_written_by_the_next_promise_of_it),
    ),
    Mutant(
        "an answer that writes nothing does not wait",
        "an acknowledgement goes through the log, also with nothing to write",
        (
            Edit(
                replica.serve_replicate,
                "return [Write(rows, done, failed)]",
                "return [Write(rows, done, failed)] if rows else [done]",
            ),
        ),
    ),
    Mutant(
        "a read trusts its own copy",
        "the reply is the join of all answers",
        (
            Edit(
                GetOp._reply,
                "joined = self._joined()",
                "joined = self.local or self._joined()",
            ),
        ),
    ),
    Mutant(
        "reads repair nothing",
        "whoever answered with less is sent the join",
        (Edit(GetOp._repair, "if self._unanimous():", "if self.replied:"),),
        trial=a_read_repairs,
    ),
    Mutant(
        "reads repair only others",
        "whoever answered with less is brought up to date, this node's own store too",
        (
            Edit(
                GetOp._repair,
                "effects += self._repair_here(home, stale)",
                "continue",
            ),
        ),
        trial=a_read_repairs,
    ),
    Mutant(
        "a read shows what is not durable",
        "what a replica shows is durable there",
        (
            Edit(replica.serve_fetch, "home.reader.visible", "home.reader.newest"),
            Edit(GetOp._read_here, "home.reader.visible", "home.reader.newest"),
        ),
    ),
)

REQUESTS: Final = (
    Mutant(
        "a lost write is passed on again",
        "a write is passed on again only when it certainly was not applied",
        (
            Edit(
                ForwardOp.on_failure,
                "if not untouched and type(self.request) is PutRequest:",
                "if not untouched and home.node_id is None:",
            ),
        ),
    ),
    Mutant(
        "every refusal of an epoch sends a write again",
        "a request that began again already is not sent again",
        (
            Edit(
                RequestTable.restart,
                "operation is None or operation.epoch == self.home.epoch",
                "operation is None",
            ),
        ),
    ),
    Mutant(
        "a deadline is forgotten after the hedge",
        "every request has one answer, within its deadline",
        (
            Edit(
                RequestTable.expire,
                "heapq.heappush(timers, (again if again > now else operation.deadline, "
                "operation.id))",
                "pass",
            ),
        ),
    ),
    Mutant(
        "tickets are never dropped",
        "a core remembers nothing of a request that is over",
        (
            Edit(
                RequestTable._drop,
                "self.by_ticket.pop(operation.origin.id, None)",
                "pass",
            ),
        ),
    ),
    Mutant(
        "ids begin at 1 in every life",
        "a late reply to an earlier life meets no request",
        (
            Edit(
                RequestTable.__init__,
                "int.from_bytes(home.rng.randbytes(6)) + 1",
                "1",
            ),
        ),
    ),
)

TOPOLOGY: Final = (
    Mutant(
        "a request of an older epoch is served",
        "an older epoch is refused, with the newer topology",
        (Edit(Node._serve, "message.epoch == home.epoch", "message.epoch <= home.epoch"),),
    ),
    Mutant(
        "a request of a newer epoch is served",
        "a replica that is asked in a newer epoch learns it first",
        (Edit(Node._serve, "message.epoch == home.epoch", "message.epoch >= home.epoch > 0"),),
    ),
    Mutant(
        "an older topology is taken over",
        "a topology is taken over only when it is newer",
        (Edit(Lifecycle.adopt, "elif topology.epoch < home.epoch:", "elif not topology.epoch:"),),
    ),
    Mutant(
        "a newcomer that is being filled counts",
        "a quorum must be one without a newcomer that may still go",
        (
            Edit(
                Home.adopt,
                "topology.change if others % 2 == 0 else None",
                "None if others else topology.change",
            ),
        ),
    ),
    Mutant(
        "the next newcomer does not wait",
        "one change at a time: the next newcomer waits until the last one holds everything",
        (
            Edit(
                Driver.on_join_request,
                "if topology.change is not None:",
                "if topology.change == request.node_id:",
            ),
        ),
    ),
    Mutant(
        "a newcomer is whole after one source",
        "a newcomer has read everybody who is up, and half of the others",
        (Edit(Fill.whole, "return enough and all(", "return bool(done) or all("),),
    ),
    Mutant(
        "a newcomer says it is whole at once",
        "a newcomer counts once it holds what it must",
        (Edit(Fill.whole, "return enough and all(", "return True or all("),),
    ),
    Mutant(
        "a page that was not stored counts",
        "the next page is asked for when the one before is durable",
        (
            Edit(
                Fill.on_page,
                "Write(rows, stored, stored._replace(next=None))",
                "Write(rows, stored, stored)",
            ),
        ),
    ),
    Mutant(
        "a founder does not ask first",
        "the founder founds only when no other seed knows a ring",
        (
            Edit(
                Seeker.tick,
                "if may_found and self.asked_enough(now):",
                "if may_found:",
            ),
        ),
        # Members of campaigns say how many they expect, so they need not ask most of the seeds.
        trial=shown_by(test_second_ring.test_it_waits_until_it_knows),
    ),
    Mutant(
        "a founder does not believe who waits for a place",
        "a founder waits while somebody says that a member told it of a ring",
        (Edit(Seeker.asked_enough, "if now < self.hearsay_ends:", "if now < 0.0:"),),
        trial=shown_by(test_ring_that_a_seeker_knows.test_no_second_ring_is_founded_with_its_help),
    ),
    Mutant(
        "hearsay is passed on",
        "whoever was told of a ring by others that wait for a place tells nobody",
        (
            Edit(
                Seeker.on_answer,
                "message.reason in (JoinReason.BUSY, JoinReason.ASK)",
                "message.reason != JoinReason.NO_RING",
            ),
        ),
        trial=shown_by(
            test_ring_that_is_gone.test_it_is_founded_anew_when_they_are_started_one_by_one,
            None,
            ("n1", "n2", "n3"),
        ),
    ),
    Mutant(
        "a place is promised before it is written down",
        "a decision is durable before anyone hears of it",
        (
            Edit(
                Driver.on_join_request,
                "return [store(topology.with_member(_member_of(request), filling=True), origin)]",
                "decided = topology.with_member(_member_of(request), filling=True)\n"
                "    told = answer(origin, TopologyReply(origin.id, decided.encode()))\n"
                "    return [told, store(decided)]",
            ),
        ),
    ),
    Mutant(
        "a copied directory is let in",
        "one identity cannot run twice: the second is refused while the first answers",
        (Edit(Driver._move, "if known.node_id in home.linked:", "if known.address == '':"),),
    ),
    Mutant(
        "who is back elsewhere at once is taken for a copy",
        "whether a member is still at its old address is asked there",
        (
            Edit(
                Driver._move,
                "return self.replacing.ask_old_place(home, origin, known, request)",
                'return no(origin, JoinReason.DUPLICATE, "")',
            ),
        ),
        trial=shown_by(
            test_back_elsewhere_at_once.test_a_member_that_is_back_elsewhere_at_once_is_let_in
        ),
    ),
)

PROTOCOL: Final = (*VERSIONS, *IDENTITY, *QUORUMS, *REQUESTS, *TOPOLOGY)
