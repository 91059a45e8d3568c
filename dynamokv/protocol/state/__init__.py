"""What a node is and holds: everything that acts reads it here, and changes it here.

Knows: the ring, the rows, the clocks, and what follows from them without a word to anybody. Must
not know: who acts on it, and when. No message is sent from here.

``home`` is the node. It has ``identity`` (who), ``hints`` (kept for others), ``forest`` (a hash
tree of each partition) and ``horizons`` (what was forgotten).
"""
