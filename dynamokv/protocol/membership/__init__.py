"""Who belongs to the ring, from the first start of a member to its last words, and which members
can be reached.

Knows: the topology and how it changes, identities, links, verdicts. Must not know: requests, and
anything of keys but the copy of a member that is being filled.

``lifecycle`` is the whole of it: ``formation`` founds and joins, ``transfer`` fills a newcomer with
what others are ``giving``, ``moving`` is for another address, ``replacing`` for a lost store,
``stopping`` for the end. ``decisions`` makes a change durable. ``waiting`` says what a process that
is not ready waits for, ``reachability`` where requests go.
"""
