"""The same record was on its way twice, and the disk refused the first one. From then on the view
of what is newest did not show the second, so the next write built on less, and replaced what was
acknowledged meanwhile.

A replica that already holds a record which is not durable yet writes the very same one again, to
acknowledge it. Of these two, the first may be refused and the second not."""

from __future__ import annotations

from dynamokv.protocol.effects import Write
from tests.protocol.fakes import Store


def test_what_still_waits_is_still_newest() -> None:
    store = Store()
    key, record = b"\0\0\1\0k", b"record"
    store.write(Write([(key, record)]))
    store.disk.failing = "no space"
    assert store.begin()
    store.write(Write([(key, record)]))
    store.finish()
    assert store.newest(key) == record
    store.disk.failing = ""
    assert store.begin()
    store.finish()
    assert store.rows[key] == record
