"""The context of a put's receipt covered siblings that its writer never saw.

``Receipt.context`` was the whole context of the record after the put, siblings included that were
kept because the writer had not seen them. A second put with it erased those: nobody merged them,
nobody read them. It covers what the put's own context covered, and the put's own write.
"""

from __future__ import annotations

import dynamokv


def test_a_writer_that_goes_on_from_its_receipt_erases_only_what_it_knew() -> None:
    with dynamokv.join("127.0.0.1:0") as kv:
        kv.put("k", "base")
        context = kv.read("k").context
        kv.put("k", "somebody else's", context=context)
        receipt = kv.put("k", "mine", context=context)
        kv.put("k", "mine again", context=receipt.context)
        assert sorted(kv.read("k").values) == ["mine again", "somebody else's"]
