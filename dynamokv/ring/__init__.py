"""Which members hold which key: hashing, the agreed record of members, and its placement. Pure."""
