"""What goes wrong with clocks. No promise depends on them, so any of it may happen at any time; but
a write stamped too far ahead is refused, until the others get there."""

from __future__ import annotations

from typing import Final

from dynamokv.testing.campaign.family import Family

WRONG_MS_MAX: Final = 20_000
"""Above ``CLOCK_DRIFT_MAX_MS``, so that some stamps are refused."""


class ClockOffset(Family):
    """Clocks are wrong from the beginning, most by little, some by much."""

    name = "clock offset"
    wrong_clocks = True

    def begin(self) -> None:
        """Set each wrong."""
        for machine in self.world.machines:
            most = min(WRONG_MS_MAX, round(self.random.choice((50, 3_000, 12_000)) * self.strength))
            machine.clock.jump(self.random.randint(-most, most))
            self.struck += 1


class ClockDrift(Family):
    """Clocks run fast or slow, the monotonic ones too."""

    name = "clock drift"
    wrong_clocks = True

    def begin(self) -> None:
        """Each at its own pace."""
        most = min(100_000, round(5_000 * self.strength))
        for machine in self.world.machines:
            machine.clock.drift(self.random.randint(-most, most))
            self.struck += 1

    def end(self) -> None:
        """All at the right pace."""
        for machine in self.world.machines:
            machine.clock.drift(0)


class ClockJump(Family):
    """Somebody sets a clock, forward or back."""

    name = "clock jump"
    wrong_clocks = True

    def strike(self) -> bool:
        """One jump."""
        machine = self.random.choice(self.world.machines)
        most = round(self.random.choice((20, 2_000, 10_000)) * min(self.strength, 1.0))
        wrong_ms = machine.clock.offset_ms + self.random.randint(-most, most)
        wrong_ms = max(-WRONG_MS_MAX, min(WRONG_MS_MAX, wrong_ms))
        machine.clock.jump(wrong_ms - machine.clock.offset_ms)
        return True


class ClockFreeze(Family):
    """A wall clock stands still."""

    name = "clock freeze"
    wrong_clocks = True

    def strike(self) -> bool:
        """Stop one for a while."""
        machine = self.random.choice(self.world.machines)
        machine.clock.freeze()
        self.world.during_chaos(self._some_seconds(), machine.clock.thaw)
        return True

    def end(self) -> None:
        """All go on."""
        for machine in self.world.machines:
            machine.clock.thaw()
