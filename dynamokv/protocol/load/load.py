"""What keeps a node from doing more than it can, in one place: who is let in, what each peer may
still be asked, how much may be done twice, and how fast the background goes.

Each rule stands in a file of its own; this one only holds their state together.
"""

from __future__ import annotations

from dynamokv import limits
from dynamokv.protocol.load.admission import Admission
from dynamokv.protocol.load.budget import Budget
from dynamokv.protocol.load.credit import Credit
from dynamokv.protocol.load.hedging import Hedging
from dynamokv.protocol.load.pressure import Pressure
from dynamokv.protocol.load.transit import Transit


class Load:
    """Of one node or client."""

    def __init__(
        self,
        *,
        in_flight_max: int,
        in_flight_bytes_max: int,
        credit_messages: int,
        credit_bytes: int,
        hedge_after: float,
        background_bytes_per_second: int,
    ) -> None:
        self.admission = Admission(in_flight_max, in_flight_bytes_max)
        self.credit = Credit(credit_messages, credit_bytes)
        self.hedging = Hedging(hedge_after)
        self.retries = Budget(limits.RETRY_SHARE, limits.RETRY_BURST)
        self.pressure = Pressure(background_bytes_per_second)
        self.transit = Transit()

    def figures(self) -> dict[str, int | float]:
        """How much there is of it now, for people."""
        return {
            "in_flight_bytes": self.admission.bytes,
            "trailing_reads": len(self.admission.trailing),
            "hedge_after": self.hedging.delay,
            "background_bytes_per_second": self.pressure.bytes_per_second,
        }

    def counters(self) -> dict[str, int]:
        """What was not done, so far."""
        return {
            "expired": self.transit.expired,
            "credit_refused": self.credit.refused,
            "hedges_refused": self.hedging.budget.refused,
            "retries_refused": self.retries.refused,
            "background_slowed": self.pressure.hindered,
        }
