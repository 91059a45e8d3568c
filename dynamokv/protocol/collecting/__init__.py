"""Tombstones go once all owners of their partition have proved that they hold the same.

Knows: horizons, and what is dead below them. Must not know: how owners come to hold the same. Of
trees and hints it sees no more than ``views`` says.

``collector`` drives, by the steps of ``round``, and ``sweeper`` takes away. Horizons travel by
``gossip``; whoever is behind goes through ``catching_up``.
"""
