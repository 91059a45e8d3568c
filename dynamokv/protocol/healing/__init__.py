"""Owners get what they missed, and what their stores cannot read any more.

Knows: who owns what, who is back, what is kept for it, and what two owners hold in common. Must
not know: requests, and how a ring changes.

``handoff`` delivers hints, and says who stands in. ``exchanges`` says which partition is compared
with which of its other owners, ``exchange`` asks and ``exchange_answers`` answers.
``forest_building`` makes the trees for that.
"""
