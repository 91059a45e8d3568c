"""Who answers, and what is believed of whoever does not: SWIM's probes, with Lifeguard's care
against observers that are slow themselves.

Knows: peers by their ids, time, links, messages, the loop's lag. Must not know: the node that it
is part of, the ring, and what follows from a verdict (``membership.reachability``).

``liveness`` is the machine: ``probes`` that are under way, ``beliefs`` about each peer, and
``gossip``, by which beliefs travel.
"""
