"""What two owners of a partition compare, so that only what differs has to travel: trees of sums,
and the exchange that walks down them. Pure."""
