"""What keeps a node from doing more than it can: bounds, budgets and rates.

Knows: counts, bytes, times. Must not know: what a request is, the ring, and the node.

``load`` holds the rest together: ``admission`` (who is let in), ``credit`` (what a peer may owe),
``transit`` (what is over before it is read), ``hedging`` (how often a read asks one more),
``pressure`` (how fast the background goes); ``budget`` is their token bucket.
"""
