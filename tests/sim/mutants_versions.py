"""Mutants of what versions and their contexts say.

Each names the rule that its safeguard keeps.
"""

from __future__ import annotations

from typing import Final

from dynamokv.causality import versions
from dynamokv.protocol.requests.put import PutOp
from dynamokv.wire import context as tokens
from dynamokv.wire import record as records
from tests.sim.mutants_patch import Edit, Mutant

VERSIONS: Final = (
    Mutant(
        "join drops what the other side lacks",
        "a version stays unless the other side's context covers it",
        (
            Edit(
                versions.join,
                "if v.dot in dots_of_b or not covers(b.context, v.dot)",
                "if v.dot in dots_of_b",
            ),
        ),
    ),
    Mutant(
        "join keeps what the other side replaced",
        "a version goes when the other side's context covers it and it is not there",
        (
            Edit(
                versions.join,
                "if v.dot in dots_of_b or not covers(b.context, v.dot)",
                "",
            ),
        ),
    ),
    Mutant(
        "the newer record wins",
        "one state replaces another only when its context covers the other's",
        (
            Edit(
                records.join_checked,
                "if ahead != behind:\n        return held if ahead else incoming",
                "if True:\n"
                "        newer = max(theirs.values()) > max(ours.values())\n"
                "        return incoming if newer else held",
            ),
        ),
    ),
    Mutant(
        "covers is one too narrow",
        "a context covers the time that it names",
        (Edit(versions.covers, ">= dot.time", "> dot.time"),),
    ),
    Mutant(
        "a receipt covers the siblings",
        "a write has seen its context and itself, and nothing else",
        (
            Edit(
                PutOp._new_record,
                "self.contexts.append(token_after(token, version.dot, key, context_key))",
                "seal = seal_of(records.context_bytes(record), key, context_key)\n"
                "    self.contexts.append(token_of(record, seal))",
            ),
        ),
    ),
    Mutant(
        "a write covers what came before its receipt",
        "the write of a receipt is seen alone, without its actor's earlier ones",
        (
            Edit(
                PutOp._new_record,
                "record = records.encode(update(state, seen, version, own))",
                "record = records.encode(update(state, told, version))",
            ),
        ),
    ),
    Mutant(
        "contexts are not checked",
        "a context that was forged, or is of another key, is refused",
        (
            Edit(
                tokens.open_token,
                "if seal_of(body, row_key, context_key, kind) != seal:",
                "if len(seal) != SEAL_BYTES:",
            ),
        ),
    ),
)
